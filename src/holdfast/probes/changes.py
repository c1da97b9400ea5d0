"""The change of every suite between two sets of scores, of one run or averaged over runs with several seeds."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import cast

from holdfast.core.errors import HoldfastError
from holdfast.probes.score import POINTS, Role, Score, for_stats, in_unit
from holdfast.stats.flips import Flips, flips
from holdfast.stats.foreseen import Foreseen
from holdfast.stats.graded import Graded, graded
from holdfast.stats.paired import Change, paired_change
from holdfast.stats.pooled import Part, pooled
from holdfast.stats.seeds import Seeded, seeded
from holdfast.stats.verdict import Evidence, Verdict, judge


@dataclasses.dataclass(frozen=True)
class UnitChange:
    """A measured change in its unit.

    `holdfast.stats` computes with shares, all other code with points. Only this class and `changes_of` convert between
    the two.

    Attributes:
        unit: "points" (percent of right answers) or "nats" (per token).
        evidence: The change as `holdfast.stats` computes it; a share if the unit is points.
    """

    unit: str
    evidence: Evidence

    @property
    def change(self) -> float:
        """Returns the score after less the score before."""
        return in_unit(self.evidence.change, self.unit)

    @property
    def lost(self) -> float:
        """Returns the loss in the unit; negative if the model has become better."""
        return -self.change if self.unit == "points" else self.change

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Returns the two-sided interval of the change; points are clipped to -100 and 100."""
        low, high = (in_unit(end, self.unit) for end in self.evidence.interval(confidence))
        return (max(-POINTS, low), min(POINTS, high)) if self.unit == "points" else (low, high)

    def judged(self, allowed: float) -> Verdict:
        """Returns the verdict about an allowed loss, with bounds and floor in the unit."""
        verdict = judge(self.evidence, for_stats(allowed, self.unit), higher_is_better=self.unit == "points")
        least, most, floor = (in_unit(end, self.unit) for end in (verdict.least, verdict.most, verdict.floor))
        return dataclasses.replace(verdict, allowed=allowed, least=least, most=most, floor=floor)


@dataclasses.dataclass(frozen=True)
class SuiteChange(UnitChange):
    """The change of one suite.

    Attributes:
        evidence: The change as `holdfast.stats` computes it; a share if the unit is points.
        name: Name of the suite.
        role: Role of the suite.
        items: Number of items.
        shifts: By group, the sum of its items' deviations from the change, divided by the number of items.
        by_options: Flips by the number of choices of their items, for `holdfast.stats.forgetting`; empty if scores are
            not right or wrong.
        seeds: The change with each seed, if the evidence covers several.
    """

    evidence: Flips | Graded | Change | Seeded | Foreseen
    name: str
    role: Role
    items: int
    shifts: Mapping[Hashable, float]
    by_options: Mapping[float | None, Flips] = dataclasses.field(default_factory=dict)
    seeds: tuple[SuiteChange, ...] = ()

    @property
    def before(self) -> float:
        """Returns the score before."""
        return in_unit(self.evidence.before, self.unit)

    @property
    def after(self) -> float:
        """Returns the score after."""
        return in_unit(self.evidence.after, self.unit)

    @property
    def known(self) -> bool:
        """Whether the change has an interval: a single group does not show how much groups differ."""
        return self.evidence.groups > 1 or getattr(self.evidence, "identical", False)


def changes(before: Sequence[Score], after: Sequence[Score]) -> list[SuiteChange]:
    """Returns the change of every suite, in the order of the scores, paired by item.

    Raises:
        HoldfastError: An item has a score before and none after, or units differ; names the item.
    """
    last = {(row.suite, row.item): row for row in after}
    first: dict[str, Score] = {}
    pairs = []
    for row in before:
        pair = last.get((row.suite, row.item))
        if pair is None:
            raise HoldfastError(f"{row.suite}/{row.item}: has a score before and none after; compare the same items.")
        _check_unit(row, pair, first.setdefault(row.suite, row))
        pairs.append((row, pair))
    return changes_of(pairs)


def changes_of(pairs: Iterable[tuple[Score, Score]]) -> list[SuiteChange]:
    """Returns the change of every suite in each unit, from the scores of the same items before and after.

    The verdict and the guard both compute their losses with this function.
    """
    by_suite: dict[tuple[str, str], list[tuple[Score, Score]]] = {}
    for pair in pairs:
        by_suite.setdefault((pair[0].suite, pair[0].unit), []).append(pair)
    return [_change(members) for members in by_suite.values()]


def _check_unit(row: Score, pair: Score, first: Score) -> None:
    where = f"{row.suite}/{row.item}"
    if len(units := {row.unit, pair.unit, first.unit}) > 1:
        raise HoldfastError(f"{where}: is measured in {' and in '.join(sorted(units))}; give each unit its own suite.")
    for score in (row, pair):
        if score.unit in ("points", "nats") and score.higher_is_better != (score.unit == "points"):
            better = "more points are" if score.unit == "points" else "fewer nats are"
            raise HoldfastError(f"{where}: {better} better here, but the row says otherwise; reverse the numbers.")
        if score.unit == "points" and not 0 <= score.value <= POINTS:
            raise HoldfastError(f"{where}: {score.value:g} points; give percent, from 0 to 100.")


def _change(pairs: Sequence[tuple[Score, Score]]) -> SuiteChange:
    rows = [row for row, _ in pairs]
    first, last = ([for_stats(pair[i].value, pair[i].unit) for pair in pairs] for i in (0, 1))
    evidence = _evidence(rows, first, last)
    shifts: dict[Hashable, float] = defaultdict(float)
    weight = math.fsum(row.weight for row in rows)
    for row, was, now in zip(rows, first, last, strict=True):
        shifts[row.group] += (now - was - evidence.change * row.weight) / weight
    by_options = _by_options(rows, first, last) if isinstance(evidence, Flips) else {}
    return SuiteChange(rows[0].unit, evidence, rows[0].suite, rows[0].role, len(rows), shifts, by_options)


def _evidence(rows: Sequence[Score], first: Sequence[float], last: Sequence[float]) -> Flips | Graded | Change:
    """Returns the evidence of one suite; scores in points are given as shares."""
    weight, groups = [row.weight for row in rows], [row.group for row in rows]
    if rows[0].unit == "points" and {*first, *last} <= {0.0, 1.0}:
        return flips(first, last, groups)
    if rows[0].unit == "points" and {*weight} == {1.0}:
        return graded(first, last, groups)
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for group, *values in zip(groups, first, last, weight, strict=True):
        for i, value in enumerate(values):
            sums[group][i] += value
    return paired_change(*zip(*sums.values(), strict=True))


def _by_options(rows: Sequence[Score], first: Sequence[float], last: Sequence[float]) -> dict[float | None, Flips]:
    """Returns the flips by the number of choices of their items; the key is infinite for generated answers."""
    places: dict[float | None, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(math.inf if row.choices == 0 else row.choices, []).append(place)
    return {
        options: flips([first[i] for i in members], [last[i] for i in members]) for options, members in places.items()
    }


def over_seeds(before: Sequence[Score], runs: Sequence[Sequence[Score]]) -> list[SuiteChange]:
    """Returns the change of every suite, averaged over runs with different seeds.

    The seeds count as a random sample. With a single run the result is that of `changes`, which describes this run
    alone.

    Args:
        before: The scores of the base.
        runs: The scores of each run, of the same items.
    """
    by_run = [changes(before, after) for after in runs]
    if len(by_run) == 1:
        return by_run[0]
    scored = [{(row.suite, row.item): row.value for row in after} for after in runs]
    means = [
        dataclasses.replace(row, value=statistics.fmean(values[row.suite, row.item] for values in scored))
        for row in before
    ]
    over_runs = []
    for place, mean in enumerate(changes(before, means)):
        seeds = tuple(suites[place] for suites in by_run)
        over = seeded(mean.evidence, [seed.evidence.change for seed in seeds], [seed.shifts for seed in seeds])
        assert isinstance(over, Seeded)
        over_runs.append(dataclasses.replace(mean, evidence=over, by_options={}, seeds=seeds))
    return over_runs


def mean_of(suites: Sequence[SuiteChange]) -> UnitChange:
    """Returns the mean change of suites of one unit, all with equal weight, over their seeds if there are several.

    A seed that is bad for one suite may be bad for all, so the spread between seeds is computed from their means.
    """
    return UnitChange(suites[0].unit, _pooled(suites))


def _pooled(suites: Sequence[SuiteChange]) -> Evidence:
    """Returns the evidence of a mean of suites."""
    if len(suites) == 1:
        return suites[0].evidence
    parts = [
        cast(Part, suite.evidence.part) if isinstance(suite.evidence, Seeded) else suite.evidence for suite in suites
    ]
    part = pooled(parts, [suite.shifts for suite in suites])
    if not suites[0].seeds:
        return part
    seeds, shifts = [], []
    for of_seed in zip(*(suite.seeds for suite in suites), strict=True):
        seeds.append(statistics.fmean(suite.evidence.change for suite in of_seed))
        sums: dict[Hashable, float] = defaultdict(float)
        for suite in of_seed:
            for group, value in suite.shifts.items():
                sums[group] += value / len(of_seed)
        shifts.append(sums)
    return seeded(part, seeds, shifts)
