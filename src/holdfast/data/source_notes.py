"""Counts of unused fields and assumptions in the rows of a source, and sentences about them."""

from __future__ import annotations

import collections
from collections.abc import Iterable


class SourceNotes:
    """Notes about one source; each row counts once for each note.

    Args:
        label: Name of the source in messages.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.form = ""
        self.rows = 0
        self._unused = collections.Counter[str]()
        self._clauses = collections.Counter[str]()
        self._row: set[str] = set()

    def begin(self) -> None:
        """Starts the notes of the next row."""
        self.rows += 1
        self._row = set()

    def unused(self, field: str) -> None:
        """Counts a field of the current row that has a value and is not used."""
        self._count(self._unused, field)

    def say(self, what: str) -> None:
        """Counts a clause about the current row, which continues "in 3 of 5 rows, "."""
        self._count(self._clauses, what)

    def _count(self, counter: collections.Counter[str], key: str) -> None:
        if key not in self._row:
            self._row.add(key)
            counter[key] += 1

    def sentences(self) -> list[str]:
        """Returns sentences: the format and the number of rows, unused fields, and assumptions."""
        rows = f"{self.rows:,} row{'' if self.rows == 1 else 's'}"
        sentences = [f"{self.label}: {self.form}, {rows}."]
        if self._unused:
            single = len(self._unused) == 1
            sentences.append(
                f"{self.label}: {self._listed(self._unused.items())} {'is' if single else 'are'} not used."
            )
        sentences += [f"{self.label}: in {count:,} of {rows}, {what}." for what, count in self._clauses.items()]
        return sentences

    def _listed(self, counts: Iterable[tuple[str, int]]) -> str:
        by_count: dict[int, list[str]] = {}
        for field, count in counts:
            by_count.setdefault(count, []).append(f"'{field}'")
        rows = f"of {self.rows:,} row{'' if self.rows == 1 else 's'}"
        return "; ".join(f"{_and(fields)} in {count:,} {rows}" for count, fields in by_count.items())


def _and(words: list[str]) -> str:
    return " and ".join([*([", ".join(words[:-1])] if words[1:] else []), words[-1]])
