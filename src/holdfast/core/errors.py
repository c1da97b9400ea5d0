"""Errors a user can act on: one sentence that says what, where, and how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HoldfastError(Exception):
    """Raised for anything the user can mend; its text is one sentence and is all the command line prints."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Returns `" Did you mean 'X'?"` for the closest of `choices` (any case), or an empty string."""
    by_lower = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f" Did you mean '{by_lower[close[0]]}'?" if close else ""
