"""Healing: a finished fine-tune is brought inside a budget by edits of its weights, and if need be by retraining."""
