"""The stages of a fit on the terminal: a heading for each, the progress within it, and the time left of the whole."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TextIO

from rich.console import Console

from holdfast.bench.machine.progress import EVERY, format_duration


@dataclasses.dataclass
class Clock:
    """The time left of a fit.

    Attributes:
        began: Value of `time.monotonic()` at the start, in seconds.
        end: Expected value at the end; None while nothing is known.
        earlier: Seconds of earlier calls of the same fit.
    """

    began: float = dataclasses.field(default_factory=time.monotonic)
    end: float | None = None
    earlier: float = 0.0

    def expect(self, seconds: float) -> None:
        """Takes the seconds that are left from now on."""
        self.end = time.monotonic() + seconds

    @property
    def seconds(self) -> float:
        """Returns the seconds so far, of all calls together."""
        return self.earlier + time.monotonic() - self.began

    def words(self) -> str:
        """Returns the time left of the whole as a phrase; empty while it is not known."""
        if self.end is None:
            return ""
        left = self.end - time.monotonic()
        return f"about {format_duration(left)} left in all" if left > 0 else "longer than expected"


class StageDisplay:
    """Shows the progress of the current stage: bars in a terminal, else a line at most every few seconds."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self.console, self.clock, self.stage = console, clock, ""
        self._last = 0.0

    def name(self, task: str) -> str:
        """Returns the name of a task with its stage and the time left of the whole."""
        return f"{self.stage}: {task}"

    def line(self, text: str) -> None:
        """Prints a line outside a terminal, unless the last one is younger than `EVERY` seconds."""
        now = time.monotonic()
        if self.console.is_terminal or now - self._last < EVERY:
            return
        self._last = now
        words = self.clock.words()
        self._print(f"  {self.stage}: {text}{f'; {words}' if words else ''}")

    def begin(self, stage: str, about: str) -> None:
        """Begins a stage, and prints what it does, with the time left of the whole."""
        self.stage, self._last = stage, time.monotonic()
        words = self.clock.words()
        self._print(f"{stage}: {about}{f' ({words})' if words else ''}")

    def tell(self, text: str) -> None:
        """Prints a sentence about the current stage."""
        self._print(f"  {text}")

    def _print(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=not self.console.is_terminal)


class StageConsole(Console):
    """A console that keeps what is printed in a log; progress appears on a display."""

    def __init__(self, display: StageDisplay, log: TextIO) -> None:
        super().__init__(file=log, width=120)
        self.display = display


def open_log(path: Path) -> TextIO:
    """Opens the log of a fit, to which later calls add."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a", encoding="utf-8")
