"""`SearchRecord`, the typed content of search.json: every trial of a search, and what it cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

from holdfast.bench.fit.trials import TrialOutcome
from holdfast.bench.measured.schema import Record, Versioned, column


@dataclasses.dataclass(frozen=True, kw_only=True)
class RungRow(Record):
    """The trials that a search means to make at one fidelity.

    Attributes:
        fidelity: Share of the epochs.
        trials: Most trials.
    """

    fidelity: float
    trials: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialRow(Record):
    """One trial.

    Attributes:
        number: Its place in the order in which trials began.
        recipe: The recipe of the candidate, with all its epochs.
        fidelity: Share of these epochs.
        source: "given" by the user, plan or pilot; "sampled"; "promoted" from a lower fidelity; or "rescue": a whole
            run because no earlier one was inside the budget.
        attempt: How often a process that made it ended before.
        outcome: Its outcome, on validation items.
    """

    number: int
    recipe: str
    fidelity: float
    source: Literal["given", "sampled", "promoted", "rescue"]
    attempt: int = 0
    outcome: TrialOutcome


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchRecord(Versioned):
    """A search for the best learner inside a budget, on validation items.

    Attributes:
        cost: What the search may cost, in plain runs.
        spent: What it cost, in plain runs.
        ladder: The trials that it meant to make, by fidelity.
        trials: The trials, in order.
        restarts: Number of trials that began again because their process ended; the work that was lost counts nothing.
        best: Number of the best trial with fidelity 1: the most learned inside the budget, or without one inside, the
            least lost; absent if none finished.
        inside: Whether the best trial is inside the budget.
        growth: Powers of the share of the steps with which loss ("lost") and learning ("learned") were seen to grow.
        searched: Names of what was searched: the recipe, the rate as a factor on the given one, and settings.
        held: Names of settings with a search range that kept the given values.
        seed: Seed of the sampler.
        sentence: What came of it, in a sentence or two.
    """

    FILE: ClassVar[str] = "search.json"

    cost: float
    spent: float
    ladder: tuple[RungRow, ...]
    trials: tuple[TrialRow, ...]
    restarts: int
    best: int | None = column(default=None)
    inside: bool
    growth: Mapping[str, float]
    searched: tuple[str, ...]
    held: tuple[str, ...]
    seed: int
    sentence: str
