"""What was understood of the rows of one source, counted, and in words."""

from __future__ import annotations

import collections
from collections.abc import Iterable


class SourceNotes:
    """Counts of one source, each row counted once for each thing that is worth saying of it.

    Args:
        label: What the source is called.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.form = ""
        self.rows = 0
        self._unused = collections.Counter[str]()
        self._said = collections.Counter[str]()
        self._row: set[str] = set()

    def begin(self) -> None:
        """Begins with a row."""
        self.rows += 1
        self._row = set()

    def unused(self, field: str) -> None:
        """Counts a field of the row at hand that says something and is not used."""
        self._count(self._unused, field)

    def say(self, what: str) -> None:
        """Counts something worth saying of the row at hand, in words that follow "in 3 of 5 rows, "."""
        self._count(self._said, what)

    def _count(self, counter: collections.Counter[str], key: str) -> None:
        if key not in self._row:
            self._row.add(key)
            counter[key] += 1

    def sentences(self) -> list[str]:
        """Returns what a user should be told: the format and the number of rows, and what is dropped or assumed."""
        rows = f"{self.rows:,} row{'' if self.rows == 1 else 's'}"
        said = [f"{self.label}: {self.form}, {rows}."]
        if self._unused:
            one = len(self._unused) == 1
            said.append(f"{self.label}: {self._listed(self._unused.items())} {'is' if one else 'are'} not used.")
        said += [f"{self.label}: in {count:,} of {rows}, {what}." for what, count in self._said.items()]
        return said

    def _listed(self, counts: Iterable[tuple[str, int]]) -> str:
        by_count: dict[int, list[str]] = {}
        for field, count in counts:
            by_count.setdefault(count, []).append(f"'{field}'")
        rows = f"of {self.rows:,} row{'' if self.rows == 1 else 's'}"
        return "; ".join(f"{_and(fields)} in {count:,} {rows}" for count, fields in by_count.items())


def _and(words: list[str]) -> str:
    return " and ".join([*([", ".join(words[:-1])] if words[1:] else []), words[-1]])
