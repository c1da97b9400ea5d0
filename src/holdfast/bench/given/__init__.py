"""The options of a command, and the recipes and models that they name."""
