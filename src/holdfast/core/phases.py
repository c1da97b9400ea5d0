"""Progress of long phases: a phase begins with its number of rows, and reports how many of them are done.

The code that works calls `begin`; the code that displays progress calls `shown`. Neither knows the other.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[int, int], None]
"""`report(done, total)`: takes the number of rows that are done, and the number of all rows."""

Show = Callable[[str, int], Report]
"""`show(name, total)`: begins a phase of `total` rows and returns the function that takes its reports."""

_show: contextvars.ContextVar[Show | None] = contextvars.ContextVar("holdfast_show", default=None)


@contextmanager
def shown(show: Show) -> Iterator[None]:
    """Displays the phases that begin in a block with `show`."""
    token = _show.set(show)
    try:
        yield
    finally:
        _show.reset(token)


def begin(name: str, total: int) -> Report:
    """Begins a phase of `total` rows and returns the function that takes its reports, outside `shown` an empty one."""
    show = _show.get()
    return _ignore if show is None else show(name, total)


def _ignore(done: int, total: int) -> None:
    """Ignores a report."""
