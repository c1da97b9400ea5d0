"""What became of suites, what was learned, and the verdict: the parts that the records of runs and of diffs share.

Numbers of a suite are in its `unit`: points (percent of right answers, more is better) or nats (per supervised token,
less is better). Every low and high is an end of a 95% interval.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from holdfast.bench.measured.schema import Record, Versioned, column
from holdfast.core.errors import HoldfastError, nearest
from holdfast.probes.score import Role
from holdfast.stats.learned import Learned
from holdfast.stats.verdict import Word

EXIT_CODES: dict[Word, int] = {"kept": 0, "forgot": 2, "not enough evidence": 3}
"""What a program ends with, by the word of its verdict; 1 is an error."""
NOTHING_LEARNED = 4
"""What it ends with where everything is kept, and nothing, or next to nothing, was learned."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Amount(Record):
    """A number with its interval.

    Attributes:
        value: The number.
        low: Lower end of its 95% interval; absent where there is none.
        high: Upper end.
    """

    value: float
    low: float | None = column(default=None)
    high: float | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnitAmount(Amount):
    """A number with its interval, in a unit that it names.

    Attributes:
        unit: "points" (percent of right answers) or "nats" (per supervised token).
    """

    unit: str

    @property
    def points(self) -> float:
        """Returns the number; raises `HoldfastError` where it is not in points."""
        return self._of("points")

    @property
    def nats(self) -> float:
        """Returns the number, in nats per token; raises `HoldfastError` where it is not in nats."""
        return self._of("nats")

    def _of(self, unit: str) -> float:
        if self.unit != unit:
            raise HoldfastError(f"This is measured in {self.unit} and not in {unit}: read .{self.unit}, or .value.")
        return self.value


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuiteRow(Record):
    """What became of one suite, a row of the table.

    Attributes:
        name: Its name.
        role: What it is there to show: what was learned, its transfer, or what is to be kept.
        unit: Unit of the numbers: "points" or "nats".
        groups: Number of groups of items that depend on each other (questions about one document).
        items: Number of items.
        answers_lost: Answers that were right before and are wrong after; absent where answers are not right or wrong.
        answers_gained: Answers that were wrong before and are right after; absent likewise.
        mcnemar_p: McNemar's exact p-value of the two; absent likewise.
        tokens: Supervised tokens of texts; absent where items are scored as a whole.
        before: Score of the base.
        after: Score of the tuned model.
        change: `after` less `before`.
        low: Lower end of the change's 95% interval; absent where there is one group alone.
        high: Upper end.
    """

    name: str
    role: Role
    unit: str
    groups: int = column("documents")
    items: int
    answers_lost: int | None = column("lost", None)
    answers_gained: int | None = column("gained", None)
    mcnemar_p: float | None = column("mcnemar", None)
    tokens: float | None = column(default=None)
    before: float
    after: float
    change: float
    low: float | None = column(default=None)
    high: float | None = column(default=None)

    @property
    def lost(self) -> UnitAmount:
        """Returns how much worse the model has become, with its interval; negative where it has become better."""
        return self._turned(-1.0 if self.unit == "points" else 1.0)

    @property
    def gained(self) -> UnitAmount:
        """Returns how much better the model has become, with its interval; negative where it has become worse."""
        return self._turned(1.0 if self.unit == "points" else -1.0)

    def _turned(self, sign: float) -> UnitAmount:
        low, high = (self.low, self.high) if sign > 0 else (self.high, self.low)
        ends = {name: sign * end for name, end in (("low", low), ("high", high)) if end is not None}
        return UnitAmount(unit=self.unit, value=sign * self.change, **ends)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnedUnit(Record):
    """What was learned, of what is measured in one unit.

    Attributes:
        unit: Unit of the numbers: "points" or "nats".
        suites: Names of the suites that measure it.
        before: Mean score of the base.
        gain: How much better the model has become, in the mean of the suites.
        low: Lower end of the gain's 95% interval; absent where a suite has one group alone.
        high: Upper end.
        least: The gain below which it is little.
        word: What was learned.
        reached: The most that the guard had seen learned, where it took the model back.
    """

    unit: str
    suites: tuple[str, ...]
    before: float
    gain: float
    low: float | None = column(default=None)
    high: float | None = column(default=None)
    least: float
    word: Learned
    reached: float | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Learning(Record):
    """The word on what was learned.

    Attributes:
        word: The best word of the units: nothing was learned where none shows it.
        units: What was learned in each unit; empty where no suite measures it.
        put_back_to: "start" where the guard took the model back to where it started.
    """

    word: Learned
    units: tuple[LearnedUnit, ...] = column("of")
    put_back_to: Literal["start"] | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerdictMean(Record):
    """The verdict on the mean of the suites that are measured in one unit.

    Attributes:
        unit: Unit of the numbers: "points" or "nats".
        suite_count: Number of suites.
        change: The mean change.
        floor: The least loss that would be told from none; absent where there is none.
        low: Lower end of the change's 95% interval; absent where a suite has one group alone.
        high: Upper end.
        word: Its word.
        most: The loss at its upper one-sided 95% bound; absent likewise.
        gained: What suites that became better add to the mean; positive.
        gained_in: Names of those suites, the largest gain first.
        lost: What suites that became worse take from the mean; positive.
        lost_in: Names of those suites, the largest loss first.
    """

    unit: str
    suite_count: int = column("suites")
    change: float
    floor: float | None = column(default=None)
    low: float | None = column(default=None)
    high: float | None = column(default=None)
    word: Word
    most: float | None = column(default=None)
    gained: float
    gained_in: tuple[str, ...]
    lost: float
    lost_in: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerdictSuite(Record):
    """The verdict on one suite, among all that were looked at.

    Attributes:
        word: Its word.
        most: The loss at its upper one-sided 95% bound, in the suite's unit; absent for one group alone.
        p_forgot: p-value of its own test of "lost no more than the budget".
        p_holm: The same, adjusted for the number of suites and means (Holm).
        alone: The word of its own test, where that is another.
        floor: The least loss that would be told from none; absent where there is none.
        items_needed: About how many items would settle it, where it is not settled.
    """

    word: Word
    most: float | None = column(default=None)
    p_forgot: float
    p_holm: float
    alone: Word | None = column(default=None)
    floor: float | None = column(default=None)
    items_needed: int | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerdictRow(Record):
    """The verdict under a budget.

    Attributes:
        word: kept, forgot, or not enough evidence.
        limits: What may be lost, by unit.
        claim: What has to keep to the budget: the mean of the suites, or every suite.
        seeds: Number of seeds that the changes are over; absent for one run.
        means: The verdict on the mean of the suites of each unit.
        suites: The verdict on each suite, by name.
        unjudged: Names of retained suites in a unit that the budget does not limit.
    """

    word: Word
    limits: Mapping[str, float] = column("budget")
    claim: Literal["mean", "every"]
    seeds: int | None = column(default=None)
    means: tuple[VerdictMean, ...]
    suites: Mapping[str, VerdictSuite]
    unjudged: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome(Versioned):
    """What the records of a run and of a diff share: what became of suites, what was learned, and the verdict.

    Attributes:
        suites: What became of each suite that was measured.
        learned: The word on what was learned.
        verdict: The verdict; absent without a budget.
    """

    suites: tuple[SuiteRow, ...]
    learned: Learning | None = column(default=None)
    verdict: VerdictRow | None = column(default=None)

    @property
    def exit_code(self) -> int:
        """Returns how a program ends with it: by its verdict, and where that is `kept` by what was learned.

        0 kept, 2 forgot, 3 not enough evidence, 4 kept while nothing or little was learned; 0 without a budget, which
        can be neither kept nor broken. What was not measured, or is open, is no reason for 4.
        """
        if self.verdict is None:
            return 0
        little = self.learned is not None and self.learned.word in ("not learned", "learned little")
        return NOTHING_LEARNED if self.verdict.word == "kept" and little else EXIT_CODES[self.verdict.word]

    def suite(self, name: str) -> SuiteRow:
        """Returns what became of the suite of a name; raises `HoldfastError` if there is none."""
        named = {row.name: row for row in self.suites}
        if name not in named:
            raise HoldfastError(f"No suite is called {name!r}.{nearest(name, named)}")
        return named[name]
