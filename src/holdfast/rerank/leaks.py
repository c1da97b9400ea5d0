"""Leaks: queries that stand both among those to train on and among those to measure, or almost do."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterable, Sequence

NEAR = 0.8
"""Least share of common words (Jaccard) at which two queries are near duplicates."""
NAMED = 3
"""Most pairs that a sentence names."""


def normalised(text: str) -> str:
    """Returns a text in lower case, as words with single blanks and without punctuation."""
    return " ".join(re.findall(r"\w+", text.casefold()))


@dataclasses.dataclass(frozen=True)
class Leaks:
    """Held-out queries that are also trained on.

    Attributes:
        exact: Held-out queries with the trained query that is equal after `normalised`.
        near: Held-out queries with the trained query that shares most of their words, at least a share `NEAR`.
        held_out: Number of held-out queries.
    """

    exact: tuple[tuple[str, str], ...]
    near: tuple[tuple[str, str], ...]
    held_out: int

    def sentences(self, name: str = "held-out") -> list[str]:
        """Returns a sentence for each kind of leak, with its count and some pairs; none without leaks."""
        kinds = (("are also trained on", self.exact), ("almost repeat trained ones", self.near))
        return [
            f"{len(pairs):,} of {self.held_out:,} {name} queries {what}: {_shown(pairs)}."
            for what, pairs in kinds
            if pairs
        ]


def leaks(train: Iterable[str], held_out: Sequence[str]) -> Leaks:
    """Returns the held-out queries that are also trained on, exactly or nearly.

    Two queries are near duplicates if they have other words than each other, but at least a share `NEAR` of all their
    words in common. Of two queries with fewer than five words each, none is near: one other word asks something else.

    Args:
        train: Queries to train on.
        held_out: Queries to measure.
    """
    by_text: dict[str, str] = {}
    for query in train:
        by_text.setdefault(normalised(query), query)
    trained = [(frozenset(text.split()), query) for text, query in by_text.items()]
    with_word: dict[str, list[int]] = collections.defaultdict(list)
    for place, (words, _) in enumerate(trained):
        for word in words:
            with_word[word].append(place)
    exact, near = [], []
    for query in held_out:
        text = normalised(query)
        if text in by_text:
            exact.append((query, by_text[text]))
        elif (twin := _twin(frozenset(text.split()), trained, with_word)) is not None:
            near.append((query, twin))
    return Leaks(tuple(exact), tuple(near), len(held_out))


def _twin(
    words: frozenset[str], trained: Sequence[tuple[frozenset[str], str]], with_word: dict[str, list[int]]
) -> str | None:
    """Returns the trained query that shares the most words with some words; None if it shares less than `NEAR`."""
    if len(words) < 5:
        return None
    # A near duplicate has one of the rarest few words, because the others alone are too few.
    rare = sorted(words, key=lambda word: (len(with_word.get(word, ())), word))
    first = rare[: len(words) - int(NEAR * len(words)) + 1]
    best, twin = NEAR, None
    for place in {place for word in first for place in with_word.get(word, ())}:
        others, query = trained[place]
        shared = len(words & others) / len(words | others)
        if shared > best or (shared == best and (twin is None or query < twin)):
            best, twin = shared, query
    return twin


def _shown(pairs: Sequence[tuple[str, str]]) -> str:
    shown = [
        f"{first!r}" if normalised(first) == normalised(other) else f"{first!r} and {other!r}"
        for first, other in pairs[:NAMED]
    ]
    return ", ".join(shown) + (", ..." if len(pairs) > NAMED else "")
