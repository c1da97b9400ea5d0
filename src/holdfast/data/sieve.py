"""Measures that sift generated examples: repetition within one, and likeness to those already kept."""

from __future__ import annotations

import collections
from collections.abc import Hashable, Sequence


def repeats(ids: Sequence[Hashable], size: int = 4) -> float:
    """Returns the share of runs of `size` tokens that occur earlier in the sequence; 0 for a shorter sequence."""
    runs = [tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)]
    return 1.0 - len(set(runs)) / len(runs) if runs else 0.0


def shingles(ids: Sequence[Hashable], size: int = 5) -> frozenset[tuple[Hashable, ...]]:
    """Returns the runs of `size` tokens in a sequence; a shorter sequence is its own only run."""
    return frozenset(tuple(ids[i : i + size]) for i in range(max(1, len(ids) - size + 1)))


class ShingleIndex:
    """An index of sequences by their runs of five tokens, to find the one most like another sequence.

    The likeness is Jaccard's: the number of runs that both have over the number that either has.
    """

    def __init__(self) -> None:
        self._sets: list[frozenset[tuple[Hashable, ...]]] = []
        self._where: dict[tuple[Hashable, ...], list[int]] = {}

    def add(self, ids: Sequence[Hashable]) -> None:
        """Adds a sequence to the index."""
        runs = shingles(ids)
        for shingle in runs:
            self._where.setdefault(shingle, []).append(len(self._sets))
        self._sets.append(runs)

    def likeness(self, ids: Sequence[Hashable]) -> float:
        """Returns the likeness of a sequence to the most similar one in the index, from 0 to 1."""
        runs = shingles(ids)
        shared = collections.Counter(i for shingle in runs for i in self._where.get(shingle, ()))
        return max((n / (len(runs) + len(self._sets[i]) - n) for i, n in shared.items()), default=0.0)
