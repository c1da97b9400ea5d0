"""A run: its inputs, its forecast, its training, and its folder."""
