"""`FitRecord`, the typed content of fit.json, which `holdfast fit` writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

from holdfast.bench.measured.outcome import Outcome
from holdfast.bench.measured.ranking_record import RankingRow
from holdfast.bench.measured.schema import Record, column

StageName = Literal["plan", "old examples", "pilot", "search", "run", "heal"]
"""The stages of a fit, in order. A search ends with the full run."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageRow(Record):
    """A stage of a fit.

    Attributes:
        name: Its name.
        done: Whether it took place.
        sentence: What came of it, or why it did not take place.
        announced: What it was allowed to cost, in plain runs.
        spent: What it cost, in plain runs.
        seconds: Wall time, with what was asked; that of the call in which it ended.
        record: File or folder of its record; absent if there is none.
    """

    name: StageName
    done: bool
    sentence: str
    announced: float = 0.0
    spent: float = 0.0
    seconds: float = 0.0
    record: str | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitCost(Record):
    """What a fit cost. Asking the models is not in it, but in the wall time.

    Attributes:
        allowed: What all trainings together were allowed to cost, in plain runs (`--cost`).
        spent: What they cost, in plain runs, counted from their batches and steps.
        plain_seconds: Seconds of a plain run, from a few measured steps.
        training_seconds: Seconds of all trainings and of the writing of old examples.
    """

    allowed: float
    spent: float
    plain_seconds: float
    training_seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitRecord(Outcome):
    """The result of a fit; the changes of suites, what was learned and the verdict are those of the final model.

    Attributes:
        base: The base.
        data: What it learned.
        stages: The stages, in order.
        recipe: Recipe of the full run.
        run: Folder of the full run.
        used: Share of the budget that the full run took, with the room for its verdict; absent if none was asked.
        healed: Whether the final model is the healed one.
        model: Folder of the final model.
        cost: What it cost.
        notes: Sentences on what was assumed or left out.
        sentence: What came of it, for a reader who knows no method.
        seconds: Wall time of all calls together.
        ranking: The metrics of a reranker by suite, of the base and of the final model; absent for other models.
    """

    FILE: ClassVar[str] = "fit.json"

    base: str
    data: str
    stages: tuple[StageRow, ...]
    recipe: str
    run: str
    used: float | None = column(default=None)
    healed: bool
    model: str
    cost: FitCost
    notes: tuple[str, ...] = ()
    sentence: str
    seconds: float
    ranking: Mapping[str, RankingRow] | None = column(default=None)
