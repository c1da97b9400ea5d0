"""What is under way, told to whoever shows it: a phase begins with its number of rows, and says how many are done."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Told = Callable[[int, int], None]
"""Told how many are done, and of how many."""

Show = Callable[[str, int], Told]
"""Begins a phase: given its name and how many there are to do, returns what is to be told."""

_show: contextvars.ContextVar[Show | None] = contextvars.ContextVar("holdfast_show", default=None)


@contextmanager
def shown(show: Show) -> Iterator[None]:
    """Has the phases that begin in a block shown by `show`."""
    token = _show.set(show)
    try:
        yield
    finally:
        _show.reset(token)


def begin(name: str, total: int) -> Told:
    """Begins a phase of `total` rows and returns what is to be told; nothing where nobody shows it."""
    show = _show.get()
    return _unheard if show is None else show(name, total)


def _unheard(done: int, total: int) -> None:
    """Is told, and says nothing."""
