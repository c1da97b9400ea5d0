"""The verdict: what changes say of what may be lost."""

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
    """Raises `HoldfastError` if the budget limits nothing that is measured in these units."""
    if not {*units} & budget.limits.keys():
        said = ", ".join(sorted(units)) or "nothing that is to be kept"
        raise HoldfastError(
            f"A budget of {budget} limits nothing that is measured ({said}): limit items by points=2, texts by "
            "nll=0.02, and name what is to be kept with --keep."
        )


def verdict(found: Sequence[SuiteChange], budget: Budget) -> VerdictRow:
    """Returns the verdict on the retained suites: on each, on the mean of each unit, and the word of all.

    The words are those of `holdfast.stats.verdict.settle`.

    Raises:
        HoldfastError: If the budget limits nothing that was measured.
    """
    limits = budget.limits
    kept = [one for one in found if one.role == "retained"]
    check_limits(budget, {one.unit for one in kept})
    judged = [one for one in kept if one.unit in limits]
    means = _means(judged, limits)
    # A mean of one suite is that suite, which is not looked at twice.
    several = [mean for mean in means if len(mean.suites) > 1]
    own, said = _judge_together(judged, means, several, budget)
    # After the suites' p-values come those of the means.
    by_name = {row[0].name: row[1:] for row in zip(judged, said.suites, said.adjusted, own, strict=False)}
    return VerdictRow(
        word=said.word,
        limits=limits,
        claim=budget.claim,
        seeds=len(judged[0].seeds) or None,
        means=_rows(means, dict(zip((mean.unit for mean in several), said.means, strict=True)), by_name),
        suites={one.name: _of_suite(one, *by_name[one.name]) for one in judged},
        unjudged=tuple(one.name for one in kept if one.unit not in limits),
    )


def _means(judged: Sequence[SuiteChange], limits: Mapping[str, float]) -> list[_Mean]:
    """Returns the mean of the suites of each unit."""
    return [_Mean.of(unit, judged, limits) for unit in dict.fromkeys(one.unit for one in judged)]


def _rows(
    means: Sequence[_Mean], words: Mapping[str, Word], by_name: Mapping[str, tuple[Word, float, Verdict]]
) -> tuple[VerdictMean, ...]:
    """Returns what is said of the means; a mean of one suite has the word of that suite."""
    return tuple(mean.row(words.get(mean.unit) or by_name[mean.suites[0].name][0]) for mean in means)


def _judge_together(
    judged: Sequence[SuiteChange], means: Sequence[_Mean], several: Sequence[_Mean], budget: Budget
) -> tuple[list[Verdict], Together]:
    """Returns what each suite's own test says, and what is said of all together."""
    own = [one.judged(budget.limits[one.unit]) for one in judged]
    claimed = own if budget.claim == "every" else [mean.verdict for mean in means]
    return own, settle(own, [mean.verdict for mean in several], claimed)


@dataclasses.dataclass(frozen=True)
class _Mean:
    """The mean change of the suites of one unit, and what is said of it by itself."""

    unit: str
    suites: Sequence[SuiteChange]
    change: UnitChange
    verdict: Verdict

    @classmethod
    def of(cls, unit: str, judged: Sequence[SuiteChange], limits: Mapping[str, float]) -> Self:
        suites = [one for one in judged if one.unit == unit]
        change = mean_of(suites)
        return cls(unit, suites, change, change.judged(limits[unit]))

    def row(self, word: Word) -> VerdictMean:
        low, high = self.change.interval()
        parts = gains_and_losses({one.name: one.change for one in self.suites}, self.unit)
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


def _of_suite(suite: SuiteChange, word: Word, p_holm: float, own: Verdict) -> VerdictSuite:
    open_ = word == "not enough evidence" and own.word == word and own.factor <= HOPELESS and not suite.seeds
    return VerdictSuite(
        word=word,
        most=_finite(own.most),
        p_forgot=own.p_forgot,
        p_holm=p_holm,
        alone=own.word if own.word != word else None,
        floor=_floor(own, suite.unit),
        items_needed=math.ceil(suite.items * own.factor) if open_ else None,
    )


def _floor(judged: Verdict, unit: str) -> float | None:
    """Returns the least loss that such evidence tells from none; None where no loss is large enough."""
    if not math.isfinite(judged.floor) or (unit == "points" and judged.floor > POINTS):
        return None
    return judged.floor


def _finite(value: float) -> float | None:
    """Returns a bound; None where there is none, as of a single document."""
    return value if math.isfinite(value) else None


@dataclasses.dataclass(frozen=True)
class GainsAndLosses:
    """What of a mean change suites gained and what they lost, both positive, and in which, the largest first."""

    gained: float
    gained_in: tuple[str, ...]
    lost: float
    lost_in: tuple[str, ...]


def gains_and_losses(moved: Mapping[str, float], unit: str) -> GainsAndLosses:
    """Returns what of a mean change suites gained and what they lost, which the mean sets off against each other.

    Args:
        moved: The change of each suite, in its unit.
        unit: "points", of which more are better, or "nats".
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
