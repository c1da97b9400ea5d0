"""`PilotRecord`, the typed content of pilot.json: the rungs that a pilot tried, and the run that it leads to."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from holdfast.bench.measured.schema import Record, Versioned, column


@dataclasses.dataclass(frozen=True, kw_only=True)
class PilotRung(Record):
    """A rung of the pilot, on validation items.

    Attributes:
        name: Its name.
        recipe: Its recipe, as for the full run.
        plain: Whether nothing holds it to the base, so that it passes only if it loses nothing.
        learned: Gain on the task, in `learned_unit`; absent if the trial failed or nothing measures it.
        learned_low: Lower end of its 95% interval; absent likewise, or if a single group of items measures it.
        learned_unit: "points", or "nats" (per token).
        lost: Mean loss on what is kept, in `lost_unit`; absent if the trial failed.
        lost_unit: "points", or "nats" (per token).
        limit: The loss that the budget allows in `lost_unit`.
        kept_before: Mean score of the base on what is kept, in `lost_unit`.
        answers_lost: Share of the answers that were right before and are wrong after; absent if no answer was right.
        loss_before: Training loss in the first quarter of the steps, in nats per token.
        loss_after: The same in the last quarter.
        on_course: Whether the task is on course.
        opens: Whether the rung opens the gate to the full run.
        why: Why it does or does not.
        cost: What it cost, in plain runs.
        seconds: Wall time of its training; absent if it failed.
        folder: Folder of its run; absent if it failed.
    """

    name: str
    recipe: str
    plain: bool = False
    learned: float | None = column(default=None)
    learned_low: float | None = column(default=None)
    learned_unit: str = "points"
    lost: float | None = column(default=None)
    lost_unit: str = "points"
    limit: float = 1.0
    kept_before: float = 0.0
    answers_lost: float | None = column(default=None)
    loss_before: float | None = column(default=None)
    loss_after: float | None = column(default=None)
    on_course: bool = False
    opens: bool = False
    why: str
    cost: float
    seconds: float | None = column(default=None)
    folder: str | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PilotRecord(Versioned):
    """A pilot: trials on a share of the data, and the run that follows from them.

    Attributes:
        share: Share of the examples.
        examples: Number of examples.
        announced: What it was allowed to cost, in plain runs.
        spent: What it cost, in plain runs.
        rungs: The rungs that were tried, in order.
        left_out: Sentences on rungs that were left out.
        rung: Name of the chosen rung.
        open: Whether the chosen rung opened the gate.
        rate: Factor on its learning rate for the full run.
        recipe: Recipe of the full run.
        sentence: What came of it, in a sentence or two.
    """

    FILE: ClassVar[str] = "pilot.json"

    share: float
    examples: int
    announced: float
    spent: float
    rungs: tuple[PilotRung, ...]
    left_out: tuple[str, ...] = ()
    rung: str
    open: bool
    rate: float
    recipe: str
    sentence: str
