"""What recipes learned, lost and cost, side by side, as types: `TradeOff`, the tradeoff.json of `holdfast report`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from holdfast.bench.measured.outcome import Amount, UnitAmount, VerdictRow
from holdfast.bench.measured.schema import Record, Versioned, column
from holdfast.stats.learned import Learned


@dataclasses.dataclass(frozen=True, kw_only=True)
class AboutRow(Record):
    """What the runs have in common.

    Attributes:
        model: The model that was fine-tuned.
        data: What it learned.
        test: What measures what was learned; absent if rows were held out.
        transfer: What measures the same skill in a shifted domain; absent if nothing does.
        keep: What it must not get worse at.
        seeds: Seeds of the runs.
    """

    model: str
    data: str
    test: str | None = column(default=None)
    transfer: str | None = column(default=None)
    keep: tuple[str, ...] = column(default=())
    seeds: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ItemCounts(Record):
    """How many items the trade-off is stated on.

    Attributes:
        learned: Items of what is learned.
        kept: Items of what is to be kept.
    """

    learned: int
    kept: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnedAmount(Amount):
    """What was learned: points that are known, or nats per token over the base.

    Attributes:
        word: The word on it, as in a run's record; absent where nothing is known but the number.
    """

    word: Learned | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorstSuite(Amount):
    """The suite that lost most, with an interval that holds for all of them together (Bonferroni).

    Attributes:
        suite: Its name.
        of: Number of suites that it was picked from; absent where it is the only one.
    """

    suite: str
    of: int | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetOff(Record):
    """What the mean loss sets off against each other, in its unit; both are positive.

    Attributes:
        lost: What suites that became worse lost of the mean.
        gained: What suites that became better gained of it.
        gained_in: Names of those, the largest gain first.
    """

    lost: float
    gained: float
    gained_in: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlipsRow(Record):
    """Answers to what is to be kept that changed, in the mean over seeds.

    Attributes:
        lost: Answers that were right before and are wrong after.
        gained: Answers that were wrong before and are right after.
        items: Number of items that are right or wrong.
    """

    lost: float
    gained: float
    items: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class MatchedRow(Record):
    """What is lost where just enough is learned, between doses.

    Attributes:
        reached: Share of the repetitions in which the goal is reached.
        value: The loss, in the unit of what is lost; absent where the goal is not reached.
        low: Lower end of its 95% interval; absent where there is none.
        high: Upper end.
    """

    reached: float
    value: float | None = column(default=None)
    low: float | None = column(default=None)
    high: float | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DoseRow(Record):
    """What a recipe did at one learning rate.

    Attributes:
        rate: The learning rate; absent where it is not known.
        learned: What was learned.
        lost: What was lost in the mean of the suites.
    """

    rate: float | None = column(default=None)
    learned: LearnedAmount
    lost: Amount


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecipeRow(Record):
    """What a recipe did at the dose that was chosen for it, and what it cost.

    Attributes:
        recipe: What it has beyond plain training, in short.
        text: The whole recipe, without its learning rate.
        reached: Whether it reaches the goal on watched items.
        seeds: Number of seeds that it was run with.
        rate: The learning rate that was chosen; absent where it is not known.
        learned: What was learned.
        transfer: What was learned in a shifted domain; absent where nothing measures it.
        lost: What was lost in the mean of the suites.
        suites: What was lost in each suite, by name.
        worst: The suite that lost most.
        set_off: What suites gained and lost of the mean; absent where there are no suites.
        flips: Answers that changed; absent where no answer is right or wrong.
        time_ratio: Time of preparing and training, as times plain training's; absent where it is not known.
        memory_ratio: Memory, as times plain training's; absent likewise.
        trained_share: Share of the parameters that are trained; absent likewise.
        verdict: The verdict; absent without a budget.
        matched: What is lost where just enough is learned; absent where there are no items.
        front_share: Share of the repetitions in which no recipe is better in both.
        on_front: Whether that is so in what was measured.
        hypervolume: Share of the plane of learned and kept that its doses cover; absent where nothing was learned or
            lost.
        doses: What it did at each learning rate.
    """

    recipe: str
    text: str
    reached: bool
    seeds: int
    rate: float | None = column(default=None)
    learned: LearnedAmount
    transfer: UnitAmount | None = column(default=None)
    lost: Amount
    suites: Mapping[str, Amount] | None = column(default=None)
    worst: WorstSuite
    set_off: SetOff | None = column(default=None)
    flips: FlipsRow | None = column(default=None)
    time_ratio: float | None = column("time", None)
    memory_ratio: float | None = column("memory", None)
    trained_share: float | None = column("trained", None)
    verdict: VerdictRow | None = column(default=None)
    matched: MatchedRow | None = column(default=None)
    front_share: float = column("front")
    on_front: bool
    hypervolume: float | None = column(default=None)
    doses: tuple[DoseRow, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TradeOff(Versioned):
    """What recipes learned and lost on one model and one set of data.

    Attributes:
        about: What the runs have in common.
        unit: Unit of what is lost: "points" or "nats".
        learned_unit: Unit of what is learned.
        items: How many items it is stated on.
        chosen: Whether doses were chosen, on watched items, so that it is stated on the others alone.
        base: What the base knew, in the unit of what is learned; absent where it is not known.
        goal: What is to be learned over the base.
        recipes: The recipes: those that reach the goal by what they lose, and then the others by what they learn.
        hypervolume: Share of the plane of learned and kept that all together cover.
        notes: Sentences about what was left out, and about what can be said.
    """

    FILE: ClassVar[str] = "tradeoff.json"

    about: AboutRow
    unit: str
    learned_unit: str
    items: ItemCounts
    chosen: bool = True
    base: float | None = column(default=None)
    goal: float
    recipes: tuple[RecipeRow, ...]
    hypervolume: float | None = column(default=None)
    notes: tuple[str, ...]
