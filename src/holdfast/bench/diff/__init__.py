"""What became of a model that somebody trained."""
