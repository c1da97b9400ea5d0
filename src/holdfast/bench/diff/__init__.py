"""The comparison of two models, or of their saved answers."""
