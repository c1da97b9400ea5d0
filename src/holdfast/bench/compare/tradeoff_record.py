"""`TradeOff`, the typed content of tradeoff.json, which `holdfast report` writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from holdfast.bench.measured.outcome import Amount, UnitAmount, VerdictRow
from holdfast.bench.measured.schema import Record, Versioned, column
from holdfast.stats.learned import Learned


@dataclasses.dataclass(frozen=True, kw_only=True)
class AboutRow(Record):
    """The options that all runs share.

    Attributes:
        model: The model that was fine-tuned.
        data: Its training data.
        test: Examples or items that measure learning; absent if rows were held out.
        transfer: Examples or items of the same skill in a shifted domain; absent without any.
        keep: Files that the model must not get worse at.
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
    """Number of items behind the trade-off.

    Attributes:
        learned: Items that measure learning.
        kept: Items to keep.
    """

    learned: int
    kept: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnedAmount(Amount):
    """What was learned: the score in points, or the gain over the base in nats per token.

    Attributes:
        word: The word on it, as in the record of a run; absent if only the number is known.
    """

    word: Learned | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorstSuite(Amount):
    """The suite that lost most, with an interval that holds for all suites together (Bonferroni).

    Attributes:
        suite: Its name.
        of: Number of suites; absent if there is only one.
    """

    suite: str
    of: int | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetOff(Record):
    """The losses and gains behind the mean loss, in its unit; both are positive.

    Attributes:
        lost: Contribution of the suites that became worse.
        gained: Contribution of the suites that became better.
        gained_in: Names of the suites that became better, the largest gain first.
    """

    lost: float
    gained: float
    gained_in: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlipsRow(Record):
    """Changed answers to items to keep, in the mean over seeds.

    Attributes:
        lost: Answers that were right before and are wrong after.
        gained: Answers that were wrong before and are right after.
        items: Number of items with right or wrong answers.
    """

    lost: float
    gained: float
    items: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class MatchedRow(Record):
    """The loss at the goal, interpolated between doses.

    Attributes:
        reached: Share of the repetitions that reach the goal.
        value: The loss, in the unit of losses; absent if the goal is not reached.
        low: Lower end of its 95% interval; absent without an interval.
        high: Upper end.
    """

    reached: float
    value: float | None = column(default=None)
    low: float | None = column(default=None)
    high: float | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DoseRow(Record):
    """The results of a recipe at one learning rate.

    Attributes:
        rate: The learning rate; absent if unknown.
        learned: What was learned.
        lost: The loss in the mean of the suites.
    """

    rate: float | None = column(default=None)
    learned: LearnedAmount
    lost: Amount


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecipeRow(Record):
    """The results of a recipe at its chosen dose, and its cost.

    Attributes:
        recipe: Its methods beyond plain training.
        text: The whole recipe, without its learning rate.
        reached: Whether it reaches the goal on watched items.
        seeds: Number of its seeds.
        rate: The chosen learning rate; absent if unknown.
        learned: What was learned.
        transfer: The gain in a shifted domain; absent if no suite measures it.
        lost: The loss in the mean of the suites.
        suites: The loss in each suite, by name.
        worst: The suite that lost most.
        set_off: The losses and gains behind the mean loss; absent without suites.
        flips: Changed answers; absent without right or wrong answers.
        time_ratio: Time of preparation and training, as a multiple of plain training's; absent if unknown.
        memory_ratio: Memory, as a multiple of plain training's; absent if unknown.
        trained_share: Share of trained parameters; absent if unknown.
        verdict: The verdict; absent without a budget.
        matched: The loss at the goal; absent without items.
        front_share: Share of the repetitions in which no recipe is better in both learned and lost.
        on_front: Whether no recipe is better in both, on the measured values.
        hypervolume: Share of the plane of learned and kept that its doses cover; absent if nothing was learned or lost.
        symptoms: Number of its runs that show each symptom, by its name; absent if none does or is known.
        doses: Its results at each learning rate.
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
    symptoms: Mapping[str, int] | None = column(default=None)
    doses: tuple[DoseRow, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TradeOff(Versioned):
    """The trade-off of recipes on one model and one data set.

    Attributes:
        about: The options that all runs share.
        unit: Unit of losses: "points" or "nats".
        learned_unit: Unit of learning.
        items: Number of items behind it.
        chosen: Whether doses were chosen on watched items; results are then on the other items only.
        base: Score of the base, in the unit of learning; absent if unknown.
        goal: The gain over the base to reach.
        recipes: The recipes: those that reach the goal, by their loss, and then the others, by their gain.
        hypervolume: Share of the plane of learned and kept that all recipes together cover.
        notes: Notes on what is left out, and on the limits of the results.
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
