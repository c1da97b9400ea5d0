"""What the test items of a suite will say, foreseen from its validation items: as much lost, by other counts."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence

from holdfast.probes.changes import SuiteChange
from holdfast.probes.score import Score
from holdfast.stats.flips import Flips
from holdfast.stats.foreseen import Foreseen
from holdfast.stats.graded import Graded
from holdfast.stats.paired import Change

Suite = tuple[str, str]
"""Name and unit."""
Sizes = Mapping[Suite, tuple[float, int]]
"""For each suite: the effective number of its validation items by that of its test items, and the groups of these."""
_OTHERS = 2
"""Test items for one validation item, where the test items are not known."""


def sizes_of(validation: Sequence[Score], test: Sequence[Score]) -> Sizes:
    """Returns how many test items a suite has, beside its validation items, if the items of a group flip together."""
    here, there = _by_suite(validation), _by_suite(test)
    return {
        suite: (_effective(groups) / _effective(there[suite]), len(there[suite]))
        if suite in there
        else (1 / _OTHERS, _OTHERS * len(groups))
        for suite, groups in here.items()
    }


def foreseen(moved: Sequence[SuiteChange], sizes: Sizes) -> list[SuiteChange]:
    """Returns the changes that test items will show, if they change as the validation items do."""
    return [_foreseen(change, *sizes[change.name, change.unit]) for change in moved]


def _foreseen(change: SuiteChange, ratio: float, groups: int) -> SuiteChange:
    assert isinstance(change.evidence, Flips | Graded | Change)  # that of one run
    return dataclasses.replace(change, evidence=Foreseen(change.evidence, ratio, groups))


def _by_suite(scores: Sequence[Score]) -> dict[Suite, dict[str, float]]:
    """Returns the weight of each group of each suite."""
    suites: dict[Suite, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for score in scores:
        suites[score.suite, score.unit][score.group] += score.weight
    return suites


def _effective(groups: Mapping[str, float]) -> float:
    """Returns the number of equal groups that tell as much (Kish)."""
    return sum(groups.values()) ** 2 / sum(weight * weight for weight in groups.values())
