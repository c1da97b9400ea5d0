"""What a command is given: its options, the recipes and models that they name."""
