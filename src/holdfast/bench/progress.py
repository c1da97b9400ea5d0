"""Progress of a run in the terminal: one line per thing that is under way."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich import progress as bars
from rich.console import Console


class Progress:
    """Progress bars with an estimate of the time left; where there is no terminal, a line at each tenth."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars = bars.Progress(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TimeRemainingColumn(),
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

    def measuring(self, name: str) -> Callable[[int, int], None]:
        """Adds a bar and returns `show(done, total)`, to be told how much is done so far."""
        advance: list[Callable[..., None]] = []

        def show(done: int, total: int) -> None:
            if not advance:
                advance.append(self.task(name, total))
            advance[0](done)

        return show

    def task(self, name: str, total: int, done: int = 0) -> Callable[..., None]:
        """Adds a bar and returns `advance(done, loss=None)`, to be told how much is done so far."""
        task = self.bars.add_task(name, total=total, completed=done, note="")
        started, told = time.monotonic(), [done * 10 // max(total, 1)]

        def advance(done: int, loss: float | None = None) -> None:
            note = "" if loss is None else f"loss {float(loss):.3f}"
            self.bars.update(task, completed=done, note=note)
            tenth = done * 10 // max(total, 1)
            if not self.console.is_terminal and tenth > told[0] and time.monotonic() - started > 5:
                told[0] = tenth
                self.console.print(f"{name}: {done}/{total} {note}".rstrip(), highlight=False)

        return advance
