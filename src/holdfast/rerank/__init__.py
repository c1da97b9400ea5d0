"""Rerankers: collections of queries and judged documents, their metrics, and the models that order candidates."""
