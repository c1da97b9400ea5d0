"""Progress of a run in the terminal: one line per task."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

from rich import progress as bars
from rich.console import Console

EVERY = 10.0
"""Least number of seconds between two lines about one task, outside a terminal."""
TOLD = 0.02
"""Share of a task that must be done before the time left is stated: of a batch of answers, the first one ends early."""


class Display(Protocol):
    """Where the progress of one stage of a longer command appears.

    Attributes:
        console: The console.
    """

    console: Console

    def name(self, task: str) -> str:
        """Returns the name of a task within the stage, for its bar."""

    def line(self, text: str) -> None:
        """Takes a line about a task, outside a terminal."""


class Progress:
    """Progress bars with an estimate of the time left; outside a terminal, plain lines with the same content.

    A console with an attribute `display` keeps what is printed on it, and the display shows the progress.
    """

    def __init__(self, console: Console) -> None:
        self.display: Display | None = getattr(console, "display", None)
        self.console = console = console if self.display is None else self.display.console
        self.bars = bars.Progress(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TimeRemainingColumn(elapsed_when_finished=True),
            bars.TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
            transient=self.display is not None,
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
        """Adds a bar at 0 and returns `show(done, total)`, which moves it."""
        advance = self.task(name, total)
        return lambda done, total: advance(done, total=total)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Shows a task of unknown length inside the context."""
        task = self.bars.add_task(self._name(name), total=None, note="")
        started = time.monotonic()
        self._print(f"{name} ...")
        yield
        took = time.monotonic() - started
        self.bars.update(task, total=1, completed=1)
        if took >= 1:
            self._print(f"{name}: {format_duration(took)}")

    def task(self, name: str, total: int, done: int = 0) -> Callable[..., None]:
        """Adds a bar and returns `advance(done, loss=None, total=None)`, which moves it."""
        task = self.bars.add_task(self._name(name), total=total, completed=done, note="")
        first, started = done, time.monotonic()
        last = [started]
        steps = [total]
        self._print(f"{name}: {done}/{total}")

        def advance(done: int, loss: float | None = None, total: int | None = None) -> None:
            note = "" if loss is None else f"loss {float(loss):.3f}"
            steps[0] = steps[0] if total is None else total
            self.bars.update(task, completed=done, total=steps[0], note=note)
            now = time.monotonic()
            if now - last[0] >= EVERY or (done >= steps[0] and now - started >= EVERY):
                last[0] = now
                took = now - started
                part = (done - first) / max(1, steps[0] - first)
                left = took * (1 / part - 1) if part >= TOLD else None
                when = (
                    f"took {format_duration(took)}"
                    if done >= steps[0]
                    else ""
                    if left is None
                    else f"{format_duration(left)} left"
                )
                self._print(f"{name}: {done}/{steps[0]} {', '.join(filter(None, (when, note)))}".rstrip())

        return advance

    def _name(self, task: str) -> str:
        return task if self.display is None else self.display.name(task)

    def _print(self, line: str) -> None:
        """Prints a line outside a terminal, where no bar is drawn."""
        if self.display is not None:
            self.display.line(line)
        elif not self.console.is_terminal:
            self.console.print(line, highlight=False, markup=False)


def format_duration(seconds: float) -> str:
    """Returns a duration as text: "8 s", "3 min", "2 h 5 min"."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
