"""Runs side by side, and the trade between learning and keeping."""
