"""Rerankers: cross-encoders that score a query with a document; trained, measured and judged like language models."""
