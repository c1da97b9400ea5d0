"""Checks of configs: readers for several trainers, one form that all translate to, and what is known to forget."""
