"""Fitting inside a budget: trials of candidates, and the search over them."""
