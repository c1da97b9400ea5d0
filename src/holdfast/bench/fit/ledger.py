"""The ledger of a fit: what each stage did and cost, what is left, and what the terminal shows of it."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

from holdfast.bench.fit.fit_record import FitCost, StageName, StageRow
from holdfast.bench.fit.stages import StageDisplay


@dataclasses.dataclass
class Ledger:
    """The stages of a fit so far.

    Attributes:
        display: Where they appear.
        cost: What all trainings may cost, in plain runs.
        plain_seconds: Seconds of a plain run.
        asking_seconds: Seconds of asking everything once.
        rows: The stages, in order.
        notes: Sentences on what was assumed or left out.
        training_seconds: Seconds of all trainings.
    """

    display: StageDisplay
    cost: float
    plain_seconds: float
    asking_seconds: float
    rows: list[StageRow] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    training_seconds: float = 0.0

    @property
    def spent(self) -> float:
        """Returns what all stages cost, in plain runs."""
        return math.fsum(row.spent for row in self.rows)

    @property
    def left(self) -> float:
        """Returns what is left of the cost, in plain runs."""
        return self.cost - self.spent

    def total(self) -> FitCost:
        """Returns what the fit may cost and has cost."""
        return FitCost(
            allowed=self.cost,
            spent=self.spent,
            plain_seconds=self.plain_seconds,
            training_seconds=self.training_seconds,
        )

    def begin(self, name: StageName, about: str) -> float:
        """Begins a stage, and returns the time."""
        self.display.begin(name, about)
        return time.monotonic()

    def done(self, name: StageName, began: float, sentence: str, **values: Any) -> None:
        """Ends a stage: keeps its row, and prints what came of it."""
        self.rows.append(StageRow(name=name, done=True, sentence=sentence, seconds=time.monotonic() - began, **values))
        self.display.tell(sentence)
        self.expect(self.left)

    def skipped(self, name: StageName, why: str) -> None:
        """Keeps the row of a stage that does not take place, and prints why."""
        self.rows.append(StageRow(name=name, done=False, sentence=why))
        self.display.begin(name, why)

    def asked(self, seconds: float, times: int) -> None:
        """Takes what it took to ask the validation items, about half of all, some times; nothing if none was asked."""
        if seconds > 0:  # a pilot that an earlier call made takes less than its trainings took then
            self.asking_seconds = 2 * seconds / times

    def expect(self, runs: float) -> None:
        """Sets the time left: that of some plain runs, and of asking everything twice."""
        self.display.clock.expect(max(0.0, runs) * self.plain_seconds + 2 * self.asking_seconds)
