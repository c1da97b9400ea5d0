"""The verdict on changes under a budget."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Self

from holdfast.bench.measured.outcome import VerdictMean, VerdictRow, VerdictSuite
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.probes.changes import SuiteChange, UnitChange, mean_of
from holdfast.probes.score import POINTS
from holdfast.stats.verdict import Together, Verdict, Word, settle

HOPELESS = 1000.0
"""Above this factor we do not advise more items: the loss sits on the limit."""


def check_limits(budget: Budget, units: Collection[str]) -> None:
    """Raises `HoldfastError` if the budget limits none of the measured units."""
    if not {*units} & budget.limits.keys():
        measured = ", ".join(sorted(units)) or "no suite to keep"
        raise HoldfastError(
            f"A budget of {budget} limits none of the measured units ({measured}): limit items by points=2, texts by "
            "nll=0.02, and name the files to keep with --keep."
        )


def verdict(changes: Sequence[SuiteChange], budget: Budget) -> VerdictRow:
    """Returns the verdict on the retained suites: on each, on the mean of each unit, and on all together.

    `holdfast.stats.verdict.settle` gives the words.

    Raises:
        HoldfastError: The budget limits none of the measured units.
    """
    limits = budget.limits
    kept = [change for change in changes if change.role == "retained"]
    check_limits(budget, {change.unit for change in kept})
    judged = [change for change in kept if change.unit in limits]
    means = _means(judged, limits)
    # A mean of one suite is that suite; testing it twice would cost power.
    several = [mean for mean in means if len(mean.suites) > 1]
    single, together = _judge_together(judged, means, several, budget)
    # The p-values of the means follow those of the suites, and `zip` drops them.
    by_name = {row[0].name: row[1:] for row in zip(judged, together.suites, together.adjusted, single, strict=False)}
    return VerdictRow(
        word=together.word,
        limits=limits,
        claim=budget.claim,
        seeds=len(judged[0].seeds) or None,
        means=_rows(means, dict(zip((mean.unit for mean in several), together.means, strict=True)), by_name),
        suites={change.name: _of_suite(change, *by_name[change.name]) for change in judged},
        unjudged=tuple(change.name for change in kept if change.unit not in limits),
    )


def _means(judged: Sequence[SuiteChange], limits: Mapping[str, float]) -> list[_Mean]:
    """Returns the mean of the suites of each unit."""
    return [_Mean.of(unit, judged, limits) for unit in dict.fromkeys(change.unit for change in judged)]


def _rows(
    means: Sequence[_Mean], words: Mapping[str, Word], by_name: Mapping[str, tuple[Word, float, Verdict]]
) -> tuple[VerdictMean, ...]:
    """Returns the verdicts on the means; the mean of one suite has the word of that suite."""
    return tuple(mean.row(words.get(mean.unit) or by_name[mean.suites[0].name][0]) for mean in means)


def _judge_together(
    judged: Sequence[SuiteChange], means: Sequence[_Mean], several: Sequence[_Mean], budget: Budget
) -> tuple[list[Verdict], Together]:
    """Returns the verdict on each suite by itself, and on all together."""
    single = [change.judged(budget.limits[change.unit]) for change in judged]
    claimed = single if budget.claim == "every" else [mean.verdict for mean in means]
    return single, settle(single, [mean.verdict for mean in several], claimed)


@dataclasses.dataclass(frozen=True)
class _Mean:
    """The mean change of the suites of one unit, with its own verdict."""

    unit: str
    suites: Sequence[SuiteChange]
    change: UnitChange
    verdict: Verdict

    @classmethod
    def of(cls, unit: str, judged: Sequence[SuiteChange], limits: Mapping[str, float]) -> Self:
        suites = [suite for suite in judged if suite.unit == unit]
        change = mean_of(suites)
        return cls(unit, suites, change, change.judged(limits[unit]))

    def row(self, word: Word) -> VerdictMean:
        low, high = self.change.interval()
        parts = gains_and_losses({suite.name: suite.change for suite in self.suites}, self.unit)
        return VerdictMean(
            unit=self.unit,
            suite_count=len(self.suites),
            change=self.change.change,
            floor=_floor(self.verdict, self.unit),
            low=_finite(low),
            high=_finite(high),
            word=word,
            most=_finite(self.verdict.most),
            gained=parts.gained,
            gained_in=parts.gained_in,
            lost=parts.lost,
            lost_in=parts.lost_in,
        )


def _of_suite(suite: SuiteChange, word: Word, p_holm: float, single: Verdict) -> VerdictSuite:
    undecided = word == "not enough evidence" and single.word == word and single.factor <= HOPELESS and not suite.seeds
    return VerdictSuite(
        word=word,
        most=_finite(single.most) if suite.known else None,
        p_forgot=single.p_forgot,
        p_holm=p_holm,
        alone=single.word if single.word != word else None,
        floor=_floor(single, suite.unit) if suite.known else None,
        items_needed=math.ceil(suite.items * single.factor) if undecided else None,
    )


def _floor(judged: Verdict, unit: str) -> float | None:
    """Returns the least loss that the evidence can detect; None if it can detect none, or does not show it."""
    # It is 0 where the bound of the loss is the loss itself: of a suite that lost every answer, or in which none moved.
    if not 0 < judged.floor < math.inf or (unit == "points" and judged.floor > POINTS):
        return None
    return judged.floor


def _finite(value: float) -> float | None:
    """Returns a bound; None if it is infinite, as for a single document."""
    return value if math.isfinite(value) else None


@dataclasses.dataclass(frozen=True)
class GainsAndLosses:
    """The gains and losses of suites in a mean change, both positive, with the names of the suites, largest first."""

    gained: float
    gained_in: tuple[str, ...]
    lost: float
    lost_in: tuple[str, ...]


def gains_and_losses(moved: Mapping[str, float], unit: str) -> GainsAndLosses:
    """Splits a mean change into what some suites gained and what the others lost.

    Args:
        moved: The change of each suite, in its unit.
        unit: "points" (higher is better) or "nats" (lower is better).
    """
    better = {name: value if unit == "points" else -value for name, value in moved.items()}
    gains = {name: value for name, value in better.items() if value > 0}
    losses = {name: -value for name, value in better.items() if value < 0}
    return GainsAndLosses(
        math.fsum(gains.values()) / len(moved),
        tuple(sorted(gains, key=gains.__getitem__, reverse=True)),
        math.fsum(losses.values()) / len(moved),
        tuple(sorted(losses, key=losses.__getitem__, reverse=True)),
    )
