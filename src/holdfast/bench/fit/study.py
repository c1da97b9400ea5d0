"""The study of a search: its trials, in memory or in a database that processes share."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Protocol

from holdfast.bench.fit.history import Entry, spent
from holdfast.bench.fit.trials import TrialOutcome

EPSILON = 1e-9


class Study(Protocol):
    """The trials of a search."""

    def history(self) -> list[Entry]:
        """Returns all trials, in the order in which they began."""

    def claim(self, entry: Entry, limit: float) -> Entry | None:
        """Enters a trial into the study, and returns it with its number; None if another process was first.

        Args:
            entry: The trial, without its number.
            limit: What all trials together may cost.
        """

    def finish(self, entry: Entry, outcome: TrialOutcome) -> None:
        """Writes the outcome of a trial of this process."""

    def abandon(self, entry: Entry) -> None:
        """Gives a trial of this process up, so that it can begin again."""

    def beating(self) -> contextlib.AbstractContextManager[None]:
        """Shows in the study, inside the context, that the trials of this process still run."""

    def close(self) -> None:
        """Ends the use of the study."""


def may_begin(entry: Entry, earlier: list[Entry], limit: float) -> bool:
    """Returns whether a trial may begin after those before it: none of them is the same, and the cost allows it."""
    same = any(other.key == entry.key for other in earlier if other.standing in ("running", "done"))
    return not same and spent(earlier) + entry.reserved <= limit + EPSILON


class MemoryStudy:
    """A study of one process, which ends with it."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def history(self) -> list[Entry]:
        """Returns all trials, in the order in which they began."""
        return list(self._entries)

    def claim(self, entry: Entry, limit: float) -> Entry | None:
        """Enters a trial, and returns it with its number; None if the cost does not allow it."""
        if not may_begin(entry, self._entries, limit):
            return None
        self._entries.append(dataclasses.replace(entry, number=len(self._entries)))
        return self._entries[-1]

    def finish(self, entry: Entry, outcome: TrialOutcome) -> None:
        """Writes the outcome of a trial."""
        self._entries[entry.number] = dataclasses.replace(entry, standing="done", outcome=outcome)

    def abandon(self, entry: Entry) -> None:
        """Gives a trial up."""
        self._entries[entry.number] = dataclasses.replace(entry, standing="stopped")

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Does nothing: no other process looks."""
        yield

    def close(self) -> None:
        """Does nothing."""
