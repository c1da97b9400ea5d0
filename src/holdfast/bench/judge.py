"""From scores before and after to what they say: the change of every suite, and the verdict under a budget."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from holdfast.bench.records import Role, ScoreRow
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.stats.flips import Flips, flips
from holdfast.stats.graded import Graded, graded
from holdfast.stats.paired import Change, paired_change
from holdfast.stats.pooled import Pooled, pooled
from holdfast.stats.verdict import CONFIDENCE, Evidence, Verdict, holm, judge, together

HOPELESS = 1000.0
"""Times as many items beyond which a loss is just what is allowed, and more items are no advice."""

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
    """

    name: str
    role: Role
    unit: str
    items: int
    evidence: Flips | Graded | Change
    shifts: Mapping[Hashable, float]

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
            low, high = self.evidence.interval()
            found |= {"low": self.scale * low, "high": self.scale * high}
        return found


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
    return SuiteChange(rows[0].suite, rows[0].role, rows[0].unit, len(rows), evidence, shifts)


def check_limits(budget: Budget, units: set[str]) -> None:
    """Raises `HoldfastError` if the budget limits nothing that is measured in these units."""
    if not units & budget.limits.keys():
        said = ", ".join(sorted(units)) or "nothing that is to be kept"
        raise HoldfastError(
            f"A budget of {budget} limits nothing that is measured ({said}): limit items by points=2, texts by "
            "nll=0.02, and name what is to be kept with --keep."
        )


def verdict(found: Sequence[SuiteChange], budget: Budget) -> dict[str, Any]:
    """Returns the verdict on the retained suites, ready for result.json.

    Returns:
        `word`; `budget` and `claim`; `means`, one for each unit that the budget limits, with `change`, `low`, `high`
        (95%, two-sided), `word`, `most` (the loss at its upper one-sided bound) and `floor` (the least loss that would
        be told from none); `suites`, by name, with `word`, `most`, `floor`, `p_forgot`, `p_holm` (adjusted for the
        number of suites and means) and, where it is not settled, `items_needed`; and `unjudged`, the retained suites of
        a unit that the budget does not limit.

    Raises:
        HoldfastError: If the budget limits nothing that was measured.
    """
    limits = budget.limits
    kept = [one for one in found if one.role == "retained"]
    check_limits(budget, {one.unit for one in kept})
    judged = [one for one in kept if one.unit in limits]
    verdicts = [_judged(one.evidence, one, limits) for one in judged]
    units = {unit: [one for one in judged if one.unit == unit] for unit in dict.fromkeys(one.unit for one in judged)}
    means = {unit: pooled([one.evidence for one in own], [one.shifts for one in own]) for unit, own in units.items()}
    on_means = {unit: _judged(mean, units[unit][0], limits) for unit, mean in means.items()}
    claimed = list(on_means.values()) if budget.claim == "mean" else []
    adjusted = holm([one.p_forgot for one in (*verdicts, *claimed)])
    for unit, p in zip(on_means, adjusted[len(judged) :], strict=False):
        if on_means[unit].word == "forgot" and p >= 1 - CONFIDENCE:  # one of many that were looked at
            on_means[unit] = dataclasses.replace(on_means[unit], word="not enough evidence")
    return {
        "word": together(verdicts, claimed),
        "budget": limits,
        "claim": budget.claim,
        "means": [_of_mean(means[unit], said, units[unit]) for unit, said in on_means.items()],
        "suites": {
            one.name: _of_suite(one, said, p_holm)
            for one, said, p_holm in zip(judged, verdicts, adjusted, strict=False)
        },
        "unjudged": [one.name for one in kept if one.unit not in limits],
    }


def _judged(evidence: Evidence, suite: SuiteChange, limits: Mapping[str, float]) -> Verdict:
    return judge(evidence, limits[suite.unit] / suite.scale, higher_is_better=suite.unit == "points")


def _of_suite(suite: SuiteChange, said: Verdict, p_holm: float) -> dict[str, Any]:
    found = {"word": said.word, "most": suite.scale * said.most, "p_forgot": said.p_forgot, "p_holm": p_holm}
    if _tells(said, suite):
        found["floor"] = suite.scale * said.floor
    if said.word == "not enough evidence" and said.factor <= HOPELESS:
        found["items_needed"] = math.ceil(suite.items * said.factor)
    return found


def _tells(said: Verdict, suite: SuiteChange) -> bool:
    """Whether there is a loss that such evidence tells from none: of shares none beyond all of it."""
    return math.isfinite(said.floor) and (suite.unit != "points" or said.floor <= 1)


def _of_mean(mean: Pooled, said: Verdict, suites: Sequence[SuiteChange]) -> dict[str, Any]:
    scale = suites[0].scale
    low, high = mean.interval()
    about = {"unit": suites[0].unit, "suites": len(suites), "change": scale * mean.change}
    about |= {"floor": scale * said.floor} if _tells(said, suites[0]) else {}
    return about | {"low": scale * low, "high": scale * high, "word": said.word, "most": scale * said.most}
