"""`RunRecord`, the typed content of result.json. Names of fields end with their units."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from holdfast.bench.measured.calibration_record import CalibrationRow
from holdfast.bench.measured.outcome import Outcome
from holdfast.bench.measured.ranking_record import RankingRow
from holdfast.bench.measured.schema import Record, column


@dataclasses.dataclass(frozen=True, kw_only=True)
class LookRow(Record):
    """What the guard measured at one look, on the model that would ship.

    Attributes:
        step: Optimizer steps done.
        points_lost: Points lost on the watched items; infinite if a score was not a number; absent if not measured.
        nats_lost: Nats per token lost; likewise.
        beyond: Whether a suite was significantly over the budget.
        learned: Score on what is learned: points, or nats per token with a minus sign; absent if nothing measures it.
        share: Share of the change of the weights that the model has; absent unless the guard has pulled it back.
    """

    step: int
    points_lost: float | None = column(default=None, null="infinite")
    nats_lost: float | None = column(default=None, null="infinite")
    beyond: bool = False
    learned: float | None = column(default=None)
    share: float | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuardLearned(Record):
    """Scores on what is learned: points, or nats per token with a minus sign.

    Attributes:
        start: At the start of training.
        most: The highest at any look.
        shipped: For the shipped model.
        share: Share of the highest gain that the shipped model has.
    """

    start: float | None = column(default=None)
    most: float | None = column(default=None)
    shipped: float | None = column(default=None)
    share: float | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AskedRow(Record):
    """Number of items and texts that the guard asks at each look.

    Attributes:
        kept: Those to keep.
        learned: Those that measure learning.
    """

    kept: int
    learned: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlertRow(Record):
    """A symptom of the watched answers, at the first look that showed it.

    Attributes:
        step: Optimizer steps done.
        name: Its name (`holdfast.symptoms`).
        family: The failure that it belongs to.
        effect: Its effect, in points.
        sentence: What was measured, in words.
    """

    step: int
    name: str
    family: str
    effect: float
    sentence: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class CourseRow(Record):
    """Some steps of a run that a controller steered: what they showed, and the factors that followed.

    Attributes:
        step: Optimizer steps done.
        task_nats: Mean loss of new tokens, nats per token; absent if not measured.
        old_nats: Mean loss of old tokens, nats per token; likewise.
        kl_nats: Mean divergence from the base of the tokens that the recipe compares with it, nats per token; likewise.
        quality: Mean typicality of new tokens under the model, from 0 to 1; likewise.
        used_share: Share of the budget that a look at this step found lost; absent between looks, infinite if a score
            was not a number.
        estimate_share: Share of the budget that the controller takes to be lost now; absent before the first look.
        strength: Factor on the recipe's penalties; absent if it has none.
        old_share: Share of old tokens in the task loss; absent if the recipe rehearses nothing.
        rate: Factor on the learning rate of the schedule.
    """

    step: int
    task_nats: float | None = column("task_nll", default=None)
    old_nats: float | None = column("old_nll", default=None)
    kl_nats: float | None = column("kl", default=None)
    quality: float | None = column(default=None)
    used_share: float | None = column("used", default=None, null="infinite")
    estimate_share: float | None = column("estimate", default=None)
    strength: float | None = column(default=None)
    old_share: float | None = column(default=None)
    rate: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuardRow(Record):
    """What the guard measured and did.

    Attributes:
        on_spent: Its action when the budget is spent.
        sentence: What it did, and what to try next.
        spent_at: Steps at which it found the budget spent.
        rewinds: Number of rewinds.
        model_of: Step of the shipped model if it is an earlier one, 0 for the start; None if the last model ships.
        hold: Factor on the recipe's added loss terms at the end of training.
        learned: Scores on what is learned.
        failed: Number of failed looks.
        looks: The looks, in order.
        every_steps: Optimizer steps between two looks; None if it never looked.
        seconds: Wall time of all looks.
        asked: Number of items and texts at each look.
        watched: Names of the suites with a watched side, which the verdict leaves out.
        alerts: Symptoms of the watched answers, each at the first look that showed it.
        course: What a controller saw and set, if the guard steered.
    """

    on_spent: Literal["rewind", "steer", "stop", "hold", "log"]
    sentence: str | None = column(default=None)
    spent_at: tuple[int, ...]
    rewinds: int
    model_of: int | None = column(null="none")
    hold: float
    learned: GuardLearned
    failed: int
    looks: tuple[LookRow, ...]
    every_steps: int | None = column("every", null="none")
    seconds: float
    asked: AskedRow
    watched: tuple[str, ...]
    alerts: tuple[AlertRow, ...] = column(default=())
    course: tuple[CourseRow, ...] = column(default=())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost(Record):
    """The cost of preparation and training.

    Attributes:
        device: "cuda" if a GPU did the work, else "cpu".
        seconds: Wall time.
        cpu_seconds: CPU time of this process.
        memory_mib: Peak memory in MiB: of tensors on the GPU, or of the process; absent if it is not known.
        memory_before_mib: Memory in MiB before preparation; absent likewise.
    """

    device: Literal["cuda", "cpu"]
    seconds: float
    cpu_seconds: float = column("cpu")
    memory_mib: float | None = column("memory", None)
    memory_before_mib: float | None = column("before", None)

    def plus(self, other: Self) -> Self:
        """Returns the sum of two costs, one after the other."""
        most = [cost.memory_mib for cost in (self, other) if cost.memory_mib is not None]
        both = len(most) == 2
        return dataclasses.replace(
            self,
            seconds=self.seconds + other.seconds,
            cpu_seconds=self.cpu_seconds + other.cpu_seconds,
            memory_mib=max(most) if both else None,
            memory_before_mib=self.memory_before_mib if both else None,
        )

    @property
    def work_seconds(self) -> float:
        """Returns the wall time on a GPU, else the CPU time, in seconds."""
        return self.seconds if self.device == "cuda" else self.cpu_seconds

    @property
    def own_memory_mib(self) -> float | None:
        """Returns the peak memory in MiB: all of it on a GPU, else its growth since preparation began."""
        if self.memory_mib is None or self.memory_before_mib is None:
            return None
        return self.memory_mib - (0.0 if self.device == "cuda" else self.memory_before_mib)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SecondsRow(Record):
    """Wall time of a run, in seconds.

    Attributes:
        training: Training, with the guard's looks; of a run that was interrupted and resumed, each step counts once.
        all: That and everything else, the latter of the call in which the run ended.
    """

    training: float
    all: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryRow(Record):
    """Old examples that a run rehearsed.

    Attributes:
        name: Their name in the recipe.
        token_share: Their share of the tokens.
        near: Their declared similarity to the retained suites.
    """

    name: str
    token_share: float = column("share")
    near: Literal["same", "near", "none", "unsaid"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShippedRow(Record):
    """An adapter that was computed from edited weights.

    Attributes:
        rank: Its rank.
        error: Relative error of its weights.
    """

    rank: int
    error: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunRecord(Outcome):
    """The result of a run, stored as result.json.

    Attributes:
        guard: What the guard measured and did; absent without a guard.
        seconds: Wall time of the run.
        cost: Cost of preparation and training; absent if training resumed from a checkpoint.
        calibration: The calibration of choices on the test items; absent if no item has choices.
        memories: Old examples that the run rehearsed.
        shipped: The adapter that was computed from edited weights; absent without one.
        steps: Optimizer steps.
        trained_parameters: Number of trained parameters.
        parameters: Number of parameters of the shipped model.
        trained_in: Name of the run whose model this run edits; absent if it trained its own.
        ranking: The metrics of a reranker by suite; absent for other models.
        judged_on: "validation items" in the record of a trial that asked nothing else; absent for test items.
    """

    FILE: ClassVar[str] = "result.json"

    guard: GuardRow | None = column(default=None)
    seconds: SecondsRow
    cost: Cost | None = column(default=None)
    calibration: CalibrationRow | None = column(default=None)
    memories: tuple[MemoryRow, ...] = column(default=())
    shipped: ShippedRow | None = column(default=None)
    steps: int
    trained_parameters: int
    parameters: int
    trained_in: str | None = column(default=None)
    ranking: Mapping[str, RankingRow] | None = column(default=None)
    judged_on: str | None = column(default=None)
