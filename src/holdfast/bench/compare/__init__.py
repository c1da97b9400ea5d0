"""Comparisons of runs, and the trade-off between learning and forgetting."""
