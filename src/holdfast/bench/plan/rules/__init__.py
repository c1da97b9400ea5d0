"""The rules of a plan as data: each has a condition, an advice, a source and the kind of its evidence."""
