"""The course of a run that a controller steers: it collects signals at the steps, and sets the controller's factors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from holdfast.core.method import State
from holdfast.train.control import Look, Standing
from holdfast.train.controller import Control, Tick, after, shares
from holdfast.train.host import Host

TICKS = 64
"""Ticks of a run between its looks, at most; each look ends a tick too."""
SIGNALS = ("task_nll", "old_nll", "kl", "quality")
"""The signals of a step, by their fields in a tick."""
FACTORS = {
    "strength": ("the penalty to the base model at {} times its strength", "{:.2g}"),
    "old_share": ("old examples at {} of the task loss", "{:.0%}"),
    "rate": ("the learning rate at {} times the schedule's", "{:.2g}"),
}
"""The factors of a row of the course, in words, each with the format of its numbers."""
COLUMNS = tuple(field.name for field in dataclasses.fields(Tick))


@dataclasses.dataclass
class Ticks:
    """The ticks of a run and the sums of the one that is not over; checkpoints hold both.

    `holdfast.train.controller` computes the factors from the ticks, so that they need no place here.

    Attributes:
        rows: The ticks, `[ticks, 7]`, float64, with the fields of `Tick` as columns.
        sums: Sum of each signal since the last tick, and the number of steps that had it, `[2, 4]`, float64.
    """

    rows: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(0, len(COLUMNS), dtype=torch.float64))
    sums: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(2, len(SIGNALS), dtype=torch.float64))

    def tensors(self) -> State:
        """Returns the state as a checkpoint holds it."""
        return {"rows": self.rows, "sums": self.sums}

    def resume(self, state: State) -> None:
        """Continues from what `tensors` returned; an empty `state` begins anew."""
        fresh = Ticks(**state)
        self.rows, self.sums = fresh.rows, fresh.sums

    def all(self) -> list[Tick]:
        """Returns the ticks so far."""
        return [Tick(int(step), *values) for step, *values in self.rows.tolist()]


class Course:
    """Steers a run: it makes a tick of some steps, and gives the run the factors that follow from all ticks.

    The signals of a step are means over all processes, so every process computes the same factors.

    Attributes:
        host: The run.
        ticks: The ticks so far.
    """

    def __init__(self, host: Host) -> None:
        """Takes the run, whose checkpoints hold the ticks from now on."""
        self.host = host
        self.ticks = Ticks()
        self._now = Control()
        host.add_state("course", self.ticks)

    @property
    def alone(self) -> bool:
        """Whether the learning rate is all that there is to steer by."""
        return not self.host.added and not self.host.ratio

    def begin(self) -> None:
        """Sets the factors of the ticks so far; the optimizer of a checkpoint has its rate already."""
        self._now = Control()
        for tick in self.ticks.all():
            self._now = after(self._now, tick, self.host.steps)
        self._set()

    def step(self) -> None:
        """Adds the signals of a step."""
        values = torch.tensor([self.host.signals[name] for name in SIGNALS], dtype=torch.float64)
        known = values.isfinite()
        self.ticks.sums += torch.stack([torch.where(known, values, 0.0), known.double()])

    def end_if_due(self) -> None:
        """Ends a tick after so many steps; call it at a step without a look."""
        if self.host.step % max(1, self.host.steps // TICKS) == 0:
            self._end()

    def look(self, look: Look, now: Standing) -> None:
        """Ends a tick with what a look measured, and where the run goes on.

        Args:
            look: The look.
            now: Where the run stands after it.
        """
        used = max(now.used, 1.0) if look.beyond else now.used
        self._end(used, now.smoothed if now.spent else math.nan)

    def close(self) -> None:
        """Gives the learning rate back to the schedule when training ends, for a later training of the same trainer."""
        if (rate := self._now.rate(self.alone)) != 1.0:
            self.host.slow_down(1 / rate)
        self._now = Control()

    def _end(self, used: float = math.nan, back: float = math.nan) -> None:
        """Makes a tick of the steps since the last one, and sets the factors that follow."""
        ticks, sums = self.ticks, self.ticks.sums
        means = torch.where(sums[1] > 0, sums[0] / sums[1].clamp(min=1), math.nan)
        signals = dict(zip(SIGNALS, means.tolist(), strict=True))
        tick = Tick(self.host.step, **signals, used=used, back=back)
        row = torch.tensor([dataclasses.astuple(tick)], dtype=torch.float64)
        ticks.rows, ticks.sums = torch.cat([ticks.rows, row]), torch.zeros_like(sums)
        before, self._now = self._now, after(self._now, tick, self.host.steps)
        if (change := self._now.rate(self.alone) / before.rate(self.alone)) != 1.0:
            self.host.slow_down(change)
        self._set()

    def _set(self) -> None:
        if self.host.added:
            self.host.set_hold(self._now.strength)
        self.host.set_odds(self._now.odds)

    def numbers(self) -> dict[str, float]:
        """Returns the factors for the next line of the log."""
        rows = list(self.rows())[-1:]
        return {f"steer_{name}": row[name] for row in rows for name in FACTORS if name in row}

    def words(self) -> str:
        """Returns the range of each factor as a clause; empty before the first tick."""
        rows, parts = list(self.rows()), []
        for name, (text, form) in FACTORS.items():
            values = [row[name] for row in rows if name in row]
            ends = dict.fromkeys(form.format(end) for end in (min(values), max(values))) if values else {}
            parts += [text.format(" to ".join(ends))] if ends else []
        *some, last = parts or [""]
        return f"held {', '.join(some)}{' and ' if some else ''}{last}" if last else ""

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yields each tick with the factors that followed from it, for JSON.

        What was not measured is left out; an infinite loss is None.
        """
        now = Control()
        for tick in self.ticks.all():
            now = after(now, tick, self.host.steps)
            row = {name: getattr(tick, name) for name in (*SIGNALS, "used")} | {"estimate": now.estimate}
            known = {name: value for name, value in row.items() if not math.isnan(value)}
            yield {
                "step": tick.step,
                **{name: value if math.isfinite(value) else None for name, value in known.items()},
                **({"strength": now.strength} if self.host.added else {}),
                **({"old_share": shares(self.host.ratio, now.odds)[0]} if self.host.ratio else {}),
                "rate": now.rate(self.alone),
            }
