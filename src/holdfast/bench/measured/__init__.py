"""Suites, the scores of models on them, their changes, and the verdict."""
