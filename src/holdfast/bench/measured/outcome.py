"""The changes of suites, what was learned, and the verdict: parts that the records of runs and diffs share.

Numbers of a suite are in its `unit`: points (percent of right answers, more is better) or nats (per supervised token,
less is better). Every low and high is an end of a 95% interval.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from holdfast.bench.measured.schema import Record, Versioned, column
from holdfast.bench.measured.symptom_record import SymptomRow
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError, nearest
from holdfast.probes.score import Role
from holdfast.stats.learned import Learned
from holdfast.stats.verdict import Word

EXIT_CODES: dict[Word, int] = {"kept": 0, "forgot": 2, "not enough evidence": 3}
"""Exit code of a command, by the word of its verdict; 1 is an error."""
NOTHING_LEARNED = 4
"""Exit code if everything is kept and the model learned nothing, or little."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Amount(Record):
    """A number with its interval.

    Attributes:
        value: The number.
        low: Lower end of its 95% interval; absent without an interval.
        high: Upper end.
    """

    value: float
    low: float | None = column(default=None)
    high: float | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnitAmount(Amount):
    """A number with its interval and its unit.

    Attributes:
        unit: "points" (percent of right answers) or "nats" (per supervised token).
    """

    unit: str

    @property
    def points(self) -> float:
        """Returns the number in points; raises `HoldfastError` if it is not in points."""
        return self._of("points")

    @property
    def nats(self) -> float:
        """Returns the number in nats per token; raises `HoldfastError` if it is not in nats."""
        return self._of("nats")

    def _of(self, unit: str) -> float:
        if self.unit != unit:
            raise HoldfastError(f"This is measured in {self.unit} and not in {unit}: read .{self.unit}, or .value.")
        return self.value


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuiteRow(Record):
    """The change of one suite, a row of the table.

    Attributes:
        name: Its name.
        role: What the suite measures: "learned", "transfer" or "retained".
        unit: Unit of the numbers: "points" or "nats".
        groups: Number of groups of items that depend on each other (questions about one document).
        items: Number of items.
        answers_lost: Answers that were right before and are wrong after; absent for scores that are not right or wrong.
        answers_gained: Answers that were wrong before and are right after; absent likewise.
        mcnemar_p: McNemar's exact p-value of lost and gained answers; absent likewise.
        tokens: Supervised tokens of texts; absent for items.
        before: Score of the base.
        after: Score of the tuned model.
        change: `after` minus `before`.
        low: Lower end of the change's 95% interval; absent for a single group.
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
        """Returns the loss with its interval; negative if the model has become better."""
        return self._turned(-1.0 if self.unit == "points" else 1.0)

    @property
    def gained(self) -> UnitAmount:
        """Returns the gain with its interval; negative if the model has become worse."""
        return self._turned(1.0 if self.unit == "points" else -1.0)

    def _turned(self, sign: float) -> UnitAmount:
        low, high = (self.low, self.high) if sign > 0 else (self.high, self.low)
        ends = {name: sign * end for name, end in (("low", low), ("high", high)) if end is not None}
        return UnitAmount(unit=self.unit, value=sign * self.change, **ends)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnedUnit(Record):
    """What was learned, over the suites of one unit.

    Attributes:
        unit: Unit of the numbers: "points" or "nats".
        suites: Names of the suites that measure learning in this unit.
        before: Mean score of the base.
        gain: Gain in the mean of the suites.
        low: Lower end of the gain's 95% interval; absent if a suite has a single group.
        high: Upper end.
        least: Least gain that counts as learned; a smaller one counts as little.
        word: The word on this unit.
        reached: The largest gain that the guard saw before it restored an earlier model; absent if it did not.
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
        word: The best word of the units.
        units: What was learned in each unit; empty if no suite measures learning.
        put_back_to: "start" if the guard restored the model of the start.
    """

    word: Learned
    units: tuple[LearnedUnit, ...] = column("of")
    put_back_to: Literal["start"] | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerdictMean(Record):
    """The verdict on the mean of the suites of one unit.

    Attributes:
        unit: Unit of the numbers: "points" or "nats".
        suite_count: Number of suites.
        change: The mean change.
        floor: The least loss that the items can detect; absent if they can detect none.
        low: Lower end of the change's 95% interval; absent if a suite has a single group.
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
    """The verdict on one suite, corrected for the number of suites.

    Attributes:
        word: Its word.
        most: The loss at its upper one-sided 95% bound, in the suite's unit; absent for a single group.
        p_forgot: p-value of the suite's test of "lost no more than the budget".
        p_holm: The same p-value, adjusted for the number of suites and means (Holm).
        alone: The word of the suite's own test, if it differs.
        floor: The least loss that the items can detect; absent if they can detect none.
        items_needed: Approximate number of items that would decide an open verdict; absent if it is decided.
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
        limits: The budget, by unit.
        claim: What the budget limits: the mean of the suites, or every suite.
        seeds: Number of seeds behind the changes; absent for one run.
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

    @property
    def allowed(self) -> str:
        """Returns the budget in words, as far as it was measured, and what of it nothing measured."""
        measured = {mean.unit for mean in self.means}
        texts: dict[bool, list[str]] = {True: [], False: []}
        for unit, limit in self.limits.items():
            words = str(Budget(points=limit) if unit == "points" else Budget(nll=limit))
            nothing = f"no {'question' if unit == 'points' else 'text'} measured the {words}"
            texts[unit in measured].append(words if unit in measured else nothing)
        return ", ".join(texts[True]) + "".join(f" ({text})" for text in texts[False])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome(Versioned):
    """Base class of the records of a run and of a diff: the changes of suites, what was learned, and the verdict.

    Attributes:
        suites: The change of each measured suite.
        learned: The word on what was learned.
        verdict: The verdict; absent without a budget.
        symptoms: Every symptom: what was measured of it, or why it was not checked; absent in older records.
    """

    suites: tuple[SuiteRow, ...]
    learned: Learning | None = column(default=None)
    verdict: VerdictRow | None = column(default=None)
    symptoms: tuple[SymptomRow, ...] = column(default=())

    @property
    def exit_code(self) -> int:
        """Returns the exit code of the command: from the verdict, and for `kept` also from what was learned.

        0 kept, 2 forgot, 3 not enough evidence, 4 kept but nothing or little was learned; 0 without a budget. If
        learning was not measured, or its word is open, the code is not 4.
        """
        if self.verdict is None:
            return 0
        little = self.learned is not None and self.learned.word in ("not learned", "learned little")
        return NOTHING_LEARNED if self.verdict.word == "kept" and little else EXIT_CODES[self.verdict.word]

    def suite(self, name: str) -> SuiteRow:
        """Returns the row of a suite; raises `HoldfastError` if no suite has that name."""
        named = {row.name: row for row in self.suites}
        if name not in named:
            raise HoldfastError(f"No suite is called {name!r}.{nearest(name, named)}")
        return named[name]
