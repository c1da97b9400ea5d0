"""Words of an answer: how answers are split and compared."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

Thing = TypeVar("Thing")

_WORD = re.compile(r"[^\W_]+|[^\w\s]|_")


def words_of(text: str) -> tuple[str, ...]:
    """Returns the words and the marks of a text, in lower case."""
    return tuple(_WORD.findall(text.casefold()))


def plain(text: str) -> str:
    """Returns a text in lower case without its white space at the ends, doubled white space and final full stop."""
    return " ".join(text.casefold().split()).removesuffix(".").rstrip()


def runs_of(words: Sequence[str], size: int) -> set[tuple[str, ...]]:
    """Returns the runs of `size` words; none for a shorter text."""
    return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}


def evenly(things: Sequence[Thing], most: int) -> list[Thing]:
    """Returns at most `most` of some things, evenly chosen."""
    if len(things) <= most:
        return list(things)
    return [things[i * len(things) // most] for i in range(most)]
