"""Methods and what they are made of: mixes, tokens, the base, settings, errors. It imports torch only."""
