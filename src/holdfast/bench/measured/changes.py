"""What became of every suite between two sets of scores, of one run or in the mean over the runs of several seeds."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence

from holdfast.bench.measured.outcome import SuiteRow
from holdfast.bench.measured.scores import Role, ScoreRow
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

    @property
    def known(self) -> bool:
        """Whether there is an interval: one group alone says nothing of how far others differ."""
        return self.evidence.groups > 1 or getattr(self.evidence, "identical", False)

    def row(self) -> SuiteRow:
        """Returns the change as a row of a table, in its unit."""
        counted = self.evidence if isinstance(self.evidence, Flips) else None
        texts = self.evidence if isinstance(self.evidence, Change) and self.unit != "points" else None
        low, high = self.interval() if self.known else (None, None)
        return SuiteRow(
            name=self.name,
            role=self.role,
            unit=self.unit,
            groups=self.evidence.groups,
            items=self.items,
            answers_lost=None if counted is None else counted.lost,
            answers_gained=None if counted is None else counted.gained,
            mcnemar_p=None if counted is None else counted.mcnemar(),
            tokens=None if texts is None else texts.weight,
            before=self.scale * self.evidence.before,
            after=self.scale * self.evidence.after,
            change=self.scale * self.evidence.change,
            low=low,
            high=high,
        )

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
    evidence = _evidence(rows, first, last)
    shifts: dict[Hashable, float] = defaultdict(float)
    weight = math.fsum(row.weight for row in rows)
    for row, was, now in zip(rows, first, last, strict=True):
        shifts[row.group] += (now - was - evidence.change * row.weight) / weight
    by_options = _by_options(rows, first, last) if isinstance(evidence, Flips) else {}
    return SuiteChange(rows[0].suite, rows[0].role, rows[0].unit, len(rows), evidence, shifts, by_options)


def _evidence(rows: Sequence[ScoreRow], first: Sequence[float], last: Sequence[float]) -> Flips | Graded | Change:
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


def _by_options(rows: Sequence[ScoreRow], first: Sequence[float], last: Sequence[float]) -> dict[float | None, Flips]:
    """Returns the flips by the number of choices of their items, infinite where answers are generated."""
    places: dict[float | None, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(math.inf if row.choices == 0 else row.choices, []).append(place)
    return {options: flips([first[i] for i in own], [last[i] for i in own]) for options, own in places.items()}


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
