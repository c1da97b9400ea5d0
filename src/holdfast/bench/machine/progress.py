"""Progress of a run in the terminal: one line per thing that is under way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich import progress as bars
from rich.console import Console

EVERY = 10.0
"""Least seconds between two lines about one thing, where there is no terminal."""


class Progress:
    """Progress bars with an estimate of the time left; where there is no terminal, lines that say the same."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars = bars.Progress(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TimeRemainingColumn(elapsed_when_finished=True),
            bars.TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        """Starts drawing."""
        self.bars.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops drawing."""
        self.bars.__exit__(kind, error, trace)

    def measuring(self, name: str, total: int) -> Callable[[int, int], None]:
        """Adds a bar at 0 and returns `show(done, total)`, to be told how much is done so far."""
        advance = self.task(name, total)
        return lambda done, total: advance(done, total=total)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Shows that something is under way of which nobody knows how far it is, for a block."""
        task = self.bars.add_task(name, total=None, note="")
        started = time.monotonic()
        self._say(f"{name} ...")
        yield
        took = time.monotonic() - started
        self.bars.update(task, total=1, completed=1)
        if took >= 1:
            self._say(f"{name}: {format_duration(took)}")

    def task(self, name: str, total: int, done: int = 0) -> Callable[..., None]:
        """Adds a bar and returns `advance(done, loss=None, total=None)`, to be told how much is done so far."""
        task = self.bars.add_task(name, total=total, completed=done, note="")
        begun, started = done, time.monotonic()
        last = [started]
        whole = [total]
        self._say(f"{name}: {done}/{total}")

        def advance(done: int, loss: float | None = None, total: int | None = None) -> None:
            note = "" if loss is None else f"loss {float(loss):.3f}"
            whole[0] = whole[0] if total is None else total
            self.bars.update(task, completed=done, total=whole[0], note=note)
            now = time.monotonic()
            if now - last[0] >= EVERY or (done >= whole[0] and now - started >= EVERY):
                last[0] = now
                took = now - started
                left = took * (whole[0] - done) / (done - begun) if done > begun else None
                when = (
                    f"took {format_duration(took)}"
                    if done >= whole[0]
                    else ""
                    if left is None
                    else f"{format_duration(left)} left"
                )
                self._say(f"{name}: {done}/{whole[0]} {', '.join(filter(None, (when, note)))}".rstrip())

        return advance

    def _say(self, line: str) -> None:
        """Prints a line where there is no terminal to draw in."""
        if not self.console.is_terminal:
            self.console.print(line, highlight=False, markup=False)


def format_duration(seconds: float) -> str:
    """Returns a time in words: "8 s", "3 min", "2 h 5 min"."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
