"""Forecasts: what recipes will learn and lose, from the first thirty steps of their runs."""
