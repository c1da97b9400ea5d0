"""A run: what it will do, its training, and what it leaves."""
