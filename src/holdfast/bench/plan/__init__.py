"""What to do before training: facts about a model and its data, advice with its sources, and checks of configs."""
