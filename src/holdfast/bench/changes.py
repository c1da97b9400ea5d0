"""What became of every suite between two sets of scores, of one run or in the mean over the runs of several seeds."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from holdfast.bench.records import Role, ScoreRow
from holdfast.core.errors import HoldfastError
from holdfast.stats.flips import Flips, flips
from holdfast.stats.graded import Graded, graded
from holdfast.stats.paired import Change, paired_change
from holdfast.stats.pooled import pooled
from holdfast.stats.seeds import Seeded, seeded
from holdfast.stats.verdict import Evidence

POINTS = 100.0
"""Points of a whole share: items are judged as shares, and said in points."""


@dataclasses.dataclass(frozen=True)
class SuiteChange:
    """What became of one suite.

    Attributes:
        name: Its name.
        role: What it is there to show.
        unit: "points" (percent of right answers) or "nats" (per token).
        items: Number of items.
        evidence: The change; a share where the unit is points.
        shifts: By group, the sum of the items' differences from the change, over their number.
        by_options: The flips by the number of choices of their items, as `holdfast.stats.forgetting` takes it; empty
            where nothing flips.
        seeds: The change with each seed, if the evidence is over several.
    """

    name: str
    role: Role
    unit: str
    items: int
    evidence: Flips | Graded | Change | Seeded
    shifts: Mapping[Hashable, float]
    by_options: Mapping[float | None, Flips] = dataclasses.field(default_factory=dict)
    seeds: tuple[SuiteChange, ...] = ()

    @property
    def scale(self) -> float:
        """Returns how many of its unit the evidence counts as one."""
        return POINTS if self.unit == "points" else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Returns the change as a row of a table, in its unit; without `low` and `high` where there is no interval."""
        found: dict[str, Any] = {"name": self.name, "role": self.role, "unit": self.unit}
        found |= {"documents": self.evidence.groups, "items": self.items}
        if isinstance(self.evidence, Flips):
            found |= {"lost": self.evidence.lost, "gained": self.evidence.gained, "mcnemar": self.evidence.mcnemar()}
        elif isinstance(self.evidence, Change) and self.unit != "points":
            found |= {"tokens": self.evidence.weight}
        for name in ("before", "after", "change"):
            found[name] = self.scale * getattr(self.evidence, name)
        if self.evidence.groups > 1 or getattr(self.evidence, "identical", False):
            found |= dict(zip(("low", "high"), self.interval(), strict=True))
        return found

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Returns the two-sided interval of the change, in its unit."""
        return ends(self.evidence, self.unit, confidence)


def ends(evidence: Evidence, unit: str, confidence: float = 0.95) -> tuple[float, float]:
    """Returns the two-sided interval of a change in its unit; points do not leave -100 to 100."""
    low, high = evidence.interval(confidence)
    return (max(-POINTS, POINTS * low), min(POINTS, POINTS * high)) if unit == "points" else (low, high)


def changes(before: Sequence[ScoreRow], after: Sequence[ScoreRow]) -> list[SuiteChange]:
    """Returns what became of every suite, in the order of the rows, paired by item.

    Raises:
        HoldfastError: If an item has one moment only; names it.
    """
    last = {(row.suite, row.item): row for row in after}
    by_suite: dict[str, list[tuple[ScoreRow, ScoreRow]]] = {}
    for row in before:
        pair = last.get((row.suite, row.item))
        if pair is None:
            raise HoldfastError(f"{row.suite}/{row.item}: has a score before and none after; compare the same items.")
        by_suite.setdefault(row.suite, []).append((row, pair))
        _check_unit(row, pair, by_suite[row.suite][0][0])
    return [_change(pairs) for pairs in by_suite.values()]


def _check_unit(row: ScoreRow, pair: ScoreRow, first: ScoreRow) -> None:
    where = f"{row.suite}/{row.item}"
    if len(units := {row.unit, pair.unit, first.unit}) > 1:
        raise HoldfastError(f"{where}: is measured in {' and in '.join(sorted(units))}; give each unit its own suite.")
    for one in (row, pair):
        if one.unit in ("points", "nats") and one.higher_is_better != (one.unit == "points"):
            better = "more points are" if one.unit == "points" else "fewer nats are"
            raise HoldfastError(f"{where}: {better} better here, and the row says otherwise; turn the numbers round.")
        if one.unit == "points" and not 0 <= one.value <= POINTS:
            raise HoldfastError(f"{where}: {one.value:g} points; give percent, from 0 to 100.")


def _change(pairs: Sequence[tuple[ScoreRow, ScoreRow]]) -> SuiteChange:
    rows = [row for row, _ in pairs]
    scale = POINTS if rows[0].unit == "points" else 1.0
    first, last = ([pair[i].value / scale for pair in pairs] for i in (0, 1))
    weight, groups = [row.weight for row in rows], [row.group for row in rows]
    evidence: Flips | Graded | Change
    if scale == POINTS and {*first, *last} <= {0.0, 1.0}:
        evidence = flips(first, last, groups)
    elif scale == POINTS and {*weight} == {1.0}:
        evidence = graded(first, last, groups)
    else:
        sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        for group, *values in zip(groups, first, last, weight, strict=True):
            for i, value in enumerate(values):
                sums[group][i] += value
        evidence = paired_change(*zip(*sums.values(), strict=True))
    shifts: dict[Hashable, float] = defaultdict(float)
    for group, was, now, count in zip(groups, first, last, weight, strict=True):
        shifts[group] += (now - was - evidence.change * count) / math.fsum(weight)
    by_options: dict[float | None, Flips] = {}
    if isinstance(evidence, Flips):
        places: dict[float | None, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(math.inf if row.choices == 0 else row.choices, []).append(place)
        by_options = {
            options: flips([first[i] for i in own], [last[i] for i in own]) for options, own in places.items()
        }
    return SuiteChange(rows[0].suite, rows[0].role, rows[0].unit, len(rows), evidence, shifts, by_options)


def over_seeds(before: Sequence[ScoreRow], runs: Sequence[Sequence[ScoreRow]]) -> list[SuiteChange]:
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
        dataclasses.replace(
            row, moment="after", value=statistics.fmean(values[row.suite, row.item] for values in scored)
        )
        for row in before
    ]
    found = []
    for place, one in enumerate(changes(before, means)):
        seeds = tuple(suites[place] for suites in own)
        over = seeded(one.evidence, [seed.evidence.change for seed in seeds], [seed.shifts for seed in seeds])
        assert isinstance(over, Seeded)
        found.append(dataclasses.replace(one, evidence=over, by_options={}, seeds=seeds))
    return found


def mean_of(suites: Sequence[SuiteChange]) -> Evidence:
    """Returns the mean change of some suites of one unit, every suite counting the same; over their seeds, if several.

    A seed that is bad for one suite may be so for all: what differs between seeds is taken of their means.
    """
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
