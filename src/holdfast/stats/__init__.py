"""Statistics of score sets before and after a change of a model. It imports numpy and scipy only."""
