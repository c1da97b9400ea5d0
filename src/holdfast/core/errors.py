"""Errors that a user can act on: each is one sentence with what is wrong, where, and how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HoldfastError(Exception):
    """Raised for anything that the user can fix; the command line prints its one sentence and nothing else."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Returns `" Did you mean 'X'?"` for the choice closest to `name`, whatever its case, or an empty string."""
    by_lower = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f" Did you mean '{by_lower[close[0]]}'?" if close else ""
