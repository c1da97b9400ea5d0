"""The abstraction: methods, mixes, settings, errors; torch only."""
