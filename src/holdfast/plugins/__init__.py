"""Plug-ins that attach a recipe and a budget to the trainers that other packages build."""
