"""Which of many written examples are worth keeping: none that turns in circles, and none that is there already."""

from __future__ import annotations

import collections
from collections.abc import Hashable, Sequence


def repeats(ids: Sequence[Hashable], size: int = 4) -> float:
    """Returns the share of runs of `size` tokens that stood in the sequence before; 0 where it has no run."""
    runs = [tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)]
    return 1.0 - len(set(runs)) / len(runs) if runs else 0.0


def shingles(ids: Sequence[Hashable], size: int = 5) -> frozenset[tuple[Hashable, ...]]:
    """Returns the runs of `size` tokens in a sequence; the whole of it where it is shorter."""
    return frozenset(tuple(ids[i : i + size]) for i in range(max(1, len(ids) - size + 1)))


class Seen:
    """Sequences that are there, to find out how much a further one is like any of them.

    Likeness is Jaccard's: runs of five tokens that both have, over those that either has.
    """

    def __init__(self) -> None:
        self._sets: list[frozenset[tuple[Hashable, ...]]] = []
        self._where: dict[tuple[Hashable, ...], list[int]] = {}

    def add(self, ids: Sequence[Hashable]) -> None:
        """Puts a sequence among those that are there."""
        found = shingles(ids)
        for shingle in found:
            self._where.setdefault(shingle, []).append(len(self._sets))
        self._sets.append(found)

    def likeness(self, ids: Sequence[Hashable]) -> float:
        """Returns the likeness of a sequence to the one most like it, from 0 to 1."""
        found = shingles(ids)
        shared = collections.Counter(i for shingle in found for i in self._where.get(shingle, ()))
        return max((n / (len(found) + len(self._sets[i]) - n) for i, n in shared.items()), default=0.0)
