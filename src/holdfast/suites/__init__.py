"""Suites by name: public sets that `--keep` takes by a word, from a folder or the hub, asked as lm-eval asks them."""
