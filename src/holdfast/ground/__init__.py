"""The proving ground: a small world, its tasks, and a base model that knows it."""
