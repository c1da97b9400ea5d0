"""Training with a recipe, with the reference loop or with an existing trainer."""
