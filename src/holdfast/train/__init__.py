"""Training with a recipe, on a loop of our own or on a trainer that exists."""
