"""A run: its inputs, its resources, its training, and its folder."""
