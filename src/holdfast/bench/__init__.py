"""Runs: what they are given and what they leave."""
