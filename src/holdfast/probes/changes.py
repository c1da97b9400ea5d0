"""What became of every suite between two sets of scores, of one run or in the mean over the runs of several seeds."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

from holdfast.core.errors import HoldfastError
from holdfast.probes.score import POINTS, Role, Score, for_stats, in_unit
from holdfast.stats.flips import Flips, flips
from holdfast.stats.graded import Graded, graded
from holdfast.stats.paired import Change, paired_change
from holdfast.stats.pooled import pooled
from holdfast.stats.seeds import Seeded, seeded
from holdfast.stats.verdict import Evidence, Verdict, judge


@dataclasses.dataclass(frozen=True)
class UnitChange:
    """A measured change in its unit.

    `holdfast.stats` counts points as shares of a whole; everything else counts points. They meet here and in
    `changes_of` alone.

    Attributes:
        unit: "points" (percent of right answers) or "nats" (per token).
        evidence: The change as `holdfast.stats` has it: a share where the unit is points.
    """

    unit: str
    evidence: Evidence

    @property
    def change(self) -> float:
        """Returns the score after less the score before."""
        return in_unit(self.evidence.change, self.unit)

    @property
    def lost(self) -> float:
        """Returns how much worse the model has become; negative where it has become better."""
        return -self.change if self.unit == "points" else self.change

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Returns the two-sided interval of the change; points do not leave -100 to 100."""
        low, high = (in_unit(end, self.unit) for end in self.evidence.interval(confidence))
        return (max(-POINTS, low), min(POINTS, high)) if self.unit == "points" else (low, high)

    def judged(self, allowed: float) -> Verdict:
        """Returns what the change says of a loss that is allowed, bounds and floor in the unit."""
        verdict = judge(self.evidence, for_stats(allowed, self.unit), higher_is_better=self.unit == "points")
        least, most, floor = (in_unit(end, self.unit) for end in (verdict.least, verdict.most, verdict.floor))
        return dataclasses.replace(verdict, allowed=allowed, least=least, most=most, floor=floor)


@dataclasses.dataclass(frozen=True)
class SuiteChange(UnitChange):
    """What became of one suite.

    Attributes:
        evidence: The change as `holdfast.stats` has it: a share where the unit is points.
        name: Its name.
        role: What it shows.
        items: Number of items.
        shifts: By group, the sum of the items' differences from the change, over their number.
        by_options: The flips by the number of choices of their items, as `holdfast.stats.forgetting` takes it; empty
            where nothing flips.
        seeds: The change with each seed, if the evidence is over several.
    """

    evidence: Flips | Graded | Change | Seeded
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
        """Whether there is an interval: one group alone says nothing of how far others differ."""
        return self.evidence.groups > 1 or getattr(self.evidence, "identical", False)


def changes(before: Sequence[Score], after: Sequence[Score]) -> list[SuiteChange]:
    """Returns what became of every suite, in the order of the rows, paired by item.

    Raises:
        HoldfastError: If an item has one moment only; names it.
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
    """Returns what became of every suite, a change for each unit, from the scores of the same items before and after.

    The verdict and the guard both count what is lost by this function.
    """
    by_suite: dict[tuple[str, str], list[tuple[Score, Score]]] = {}
    for pair in pairs:
        by_suite.setdefault((pair[0].suite, pair[0].unit), []).append(pair)
    return [_change(members) for members in by_suite.values()]


def _check_unit(row: Score, pair: Score, first: Score) -> None:
    where = f"{row.suite}/{row.item}"
    if len(units := {row.unit, pair.unit, first.unit}) > 1:
        raise HoldfastError(f"{where}: is measured in {' and in '.join(sorted(units))}; give each unit its own suite.")
    for one in (row, pair):
        if one.unit in ("points", "nats") and one.higher_is_better != (one.unit == "points"):
            better = "more points are" if one.unit == "points" else "fewer nats are"
            raise HoldfastError(f"{where}: {better} better here, and the row says otherwise; turn the numbers round.")
        if one.unit == "points" and not 0 <= one.value <= POINTS:
            raise HoldfastError(f"{where}: {one.value:g} points; give percent, from 0 to 100.")


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
    """Returns the change of one suite's items, whose scores are shares where they are points."""
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
    """Returns the flips by the number of choices of their items, infinite where answers are generated."""
    places: dict[float | None, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(math.inf if row.choices == 0 else row.choices, []).append(place)
    return {options: flips([first[i] for i in own], [last[i] for i in own]) for options, own in places.items()}


def over_seeds(before: Sequence[Score], runs: Sequence[Sequence[Score]]) -> list[SuiteChange]:
    """Returns what became of every suite in the mean over runs that differ in their seed, the seeds taken as drawn.

    Of a single run it is what `changes` returns, which is about that run and no other.

    Args:
        before: The scores of the base.
        runs: The scores of each run afterwards, of the same items.
    """
    own = [changes(before, after) for after in runs]
    if len(own) == 1:
        return own[0]
    scored = [{(row.suite, row.item): row.value for row in after} for after in runs]
    means = [
        dataclasses.replace(row, value=statistics.fmean(values[row.suite, row.item] for values in scored))
        for row in before
    ]
    found = []
    for place, one in enumerate(changes(before, means)):
        seeds = tuple(suites[place] for suites in own)
        over = seeded(one.evidence, [seed.evidence.change for seed in seeds], [seed.shifts for seed in seeds])
        assert isinstance(over, Seeded)
        found.append(dataclasses.replace(one, evidence=over, by_options={}, seeds=seeds))
    return found


def mean_of(suites: Sequence[SuiteChange]) -> UnitChange:
    """Returns the mean change of some suites of one unit, every suite counting the same; over their seeds, if several.

    A seed that is bad for one suite may be so for all: what differs between seeds is taken of their means.
    """
    return UnitChange(suites[0].unit, _pooled(suites))


def _pooled(suites: Sequence[SuiteChange]) -> Evidence:
    """Returns the evidence of a mean of suites."""
    if len(suites) == 1:
        return suites[0].evidence
    parts: list[Evidence] = [one.evidence.part if isinstance(one.evidence, Seeded) else one.evidence for one in suites]
    part = pooled(parts, [one.shifts for one in suites])
    if not suites[0].seeds:
        return part
    seeds, shifts = [], []
    for own in zip(*(one.seeds for one in suites), strict=True):
        seeds.append(statistics.fmean(one.evidence.change for one in own))
        sums: dict[Hashable, float] = defaultdict(float)
        for one in own:
            for group, value in one.shifts.items():
                sums[group] += value / len(own)
        shifts.append(sums)
    return seeded(part, seeds, shifts)
