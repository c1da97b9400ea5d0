"""What a run left, as types: `RunRecord`, which is its result.json. Units stand in the names."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal, Self

from holdfast.bench.measured.outcome import Outcome
from holdfast.bench.measured.schema import Record, column


@dataclasses.dataclass(frozen=True, kw_only=True)
class LookRow(Record):
    """What the guard saw at one look, of the model that would ship.

    Attributes:
        step: Optimizer steps done.
        points_lost: Points lost of what is watched; infinite where an answer was no number; absent where not measured.
        nats_lost: Nats per token lost; likewise.
        beyond: Whether a suite was beyond the budget for certain.
        learned: How much was learned, in points, or in nats with a minus; absent where nothing shows it.
    """

    step: int
    points_lost: float | None = column(default=None, null="infinite")
    nats_lost: float | None = column(default=None, null="infinite")
    beyond: bool = False
    learned: float | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuardLearned(Record):
    """How much was known of what is learned, in points, or in nats with a minus.

    Attributes:
        start: At the start of training.
        most: The most at any look.
        shipped: In the model that is shipped.
        share: Share of what was learned at most that is in the shipped model.
    """

    start: float | None = column(default=None)
    most: float | None = column(default=None)
    shipped: float | None = column(default=None)
    share: float | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AskedRow(Record):
    """How much the guard asks at each look.

    Attributes:
        kept: Items and texts of what is to be kept.
        learned: Items and texts of what is learned.
    """

    kept: int
    learned: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuardRow(Record):
    """What the guard saw and did.

    Attributes:
        on_spent: What it does when the budget is spent.
        sentence: What it did, and what to try next.
        spent_at: Steps at which it found the budget spent.
        rewinds: How often the run went back.
        model_of: Step of the earlier model that is shipped, 0 for that of the start; None if it is the last.
        hold: Factor on the recipe's added terms at the end.
        learned: How much was known of what is learned.
        failed: How many looks failed.
        looks: What it saw, look by look.
        every_steps: Optimizer steps between two looks; None if it never looked.
        seconds: Time that looking took.
        asked: How much it asks at each look.
        watched: Names of the suites of which one side steered the run, and is not judged.
    """

    on_spent: Literal["rewind", "stop", "hold", "log"]
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost(Record):
    """What preparing and training cost.

    Attributes:
        device: "cuda" where a GPU did the work, else "cpu".
        seconds: Time by the clock.
        cpu_seconds: Time of this process's processors.
        memory_mib: MiB held at most: by tensors on the GPU, or by the process; absent where that is not to be had.
        memory_before_mib: MiB held at the beginning; absent likewise.
    """

    device: Literal["cuda", "cpu"]
    seconds: float
    cpu_seconds: float = column("cpu")
    memory_mib: float | None = column("memory", None)
    memory_before_mib: float | None = column("before", None)

    def plus(self, other: Self) -> Self:
        """Returns the cost of both, one after the other."""
        most = [one.memory_mib for one in (self, other) if one.memory_mib is not None]
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
        """Returns the seconds of what did the work: by the clock on a GPU, else of the processors."""
        return self.seconds if self.device == "cuda" else self.cpu_seconds

    @property
    def own_memory_mib(self) -> float | None:
        """Returns the most memory that was held, in MiB: on a GPU all of it, else what came to that before."""
        if self.memory_mib is None or self.memory_before_mib is None:
            return None
        return self.memory_mib - (0.0 if self.device == "cuda" else self.memory_before_mib)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SecondsRow(Record):
    """How long a run took, in seconds by the clock.

    Attributes:
        training: Training, the guard's looks included.
        all: The whole run.
    """

    training: float
    all: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryRow(Record):
    """Old examples that were rehearsed.

    Attributes:
        name: What the recipe calls them.
        token_share: Their share of the tokens.
        near: How near they are declared to be to what is measured as kept.
    """

    name: str
    token_share: float = column("share")
    near: Literal["same", "near", "none", "unsaid"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShippedRow(Record):
    """An adapter that was made anew from edited weights.

    Attributes:
        rank: Its rank.
        error: Relative error of the weights that it holds.
    """

    rank: int
    error: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunRecord(Outcome):
    """What came of a run; its result.json.

    Attributes:
        guard: What the guard saw and did; absent where nothing was watched.
        seconds: How long the run took.
        cost: What preparing and training cost; absent where training went on from a checkpoint.
        memories: Old examples that were rehearsed.
        shipped: The adapter that was made anew; absent where none was.
        steps: Optimizer steps.
        trained_parameters: Parameters that were trained.
        parameters: Parameters of the model that is shipped.
        trained_in: Name of the run whose model this one edits; absent where it trained its own.
    """

    FILE: ClassVar[str] = "result.json"

    guard: GuardRow | None = column(default=None)
    seconds: SecondsRow
    cost: Cost | None = column(default=None)
    memories: tuple[MemoryRow, ...] = column(default=())
    shipped: ShippedRow | None = column(default=None)
    steps: int
    trained_parameters: int
    parameters: int
    trained_in: str | None = column(default=None)
