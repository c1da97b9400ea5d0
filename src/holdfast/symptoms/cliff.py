"""The capability cliff: strong on the task, and a steep fall next to it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from holdfast.probes.changes import SuiteChange, changes
from holdfast.probes.score import Score
from holdfast.stats.change_point import change_point
from holdfast.stats.largest_fall import fell
from holdfast.symptoms.evidence import Evidence
from holdfast.symptoms.symptom import SURE, Measured, quoted

SUDDEN = 0.5
"""Share of a whole fall between two checkpoints from which it is sudden."""


def capability_cliff(evidence: Evidence) -> Measured | str:
    """Measures the steepest fall of a suite in points, where the task was learned.

    The suites are those of answers beside the task: its transfer, and the retained ones. The p-value is already
    adjusted for their number (`holdfast.stats.largest_fall`). The suite is the one that fell most among those that
    certainly fell, or among all if none did. A task that was not learned gives p = 1: a fall everywhere is forgetting,
    and no cliff.
    """
    of_suites = changes(evidence.before, evidence.after) if evidence.before and evidence.after else []
    learned = [change for change in of_suites if change.role == "learned"]
    beside = [change for change in of_suites if change.role != "learned" and change.unit == "points"]
    if not learned or not beside:
        return "nothing measures the task" if not learned else "no suite of answers is measured beside the task"
    p_values = fell(_moves(evidence, {change.name for change in beside}))
    sure = [change for change in beside if p_values[change.name] < SURE]
    steepest = max(sure or beside, key=lambda change: change.lost)
    gains = any(_gain(change) > 0 for change in learned)
    low, high = (-end for end in reversed(steepest.interval()))
    before, after = _values(evidence.before), _values(evidence.after)
    names = [(pair.suite, pair.item) for pair in evidence.pairs]
    lost = [
        pair
        for pair, name in zip(evidence.pairs, names, strict=True)
        if pair.suite == steepest.name and after[name] < before[name]
    ]
    return Measured(
        sentence=f"the task was learned, and {steepest.name} next to it fell by {steepest.lost:.1f} points"
        f" ({steepest.before:.1f} -> {steepest.after:.1f}){_sudden(evidence)}",
        effect=steepest.lost,
        p=p_values[steepest.name] if gains else 1.0,
        answers=sum(change.items for change in beside),
        low=low,
        high=high,
        before=steepest.before,
        after=steepest.after,
        quotes=quoted(lost),
    )


def _gain(change: SuiteChange) -> float:
    """Returns the least gain of a suite by its 95% interval."""
    low, high = change.interval() if change.known else (-math.inf, math.inf)
    return low if change.unit == "points" else -high


def _moves(evidence: Evidence, names: set[str]) -> dict[str, list[tuple[Hashable, float]]]:
    """Returns the group and the change in points of each item, by suite."""
    after, moves = _values(evidence.after), dict[str, list[tuple[Hashable, float]]]()
    for score in evidence.before:
        if score.suite in names and score.unit == "points":
            change = after[score.suite, score.item] - score.value
            moves.setdefault(score.suite, []).append((score.group, change))
    return moves


def _values(scores: Sequence[Score]) -> dict[tuple[str, str], float]:
    return {(score.suite, score.item): score.value for score in scores}


def _sudden(evidence: Evidence) -> str:
    """Returns where over the checkpoints the fall came, in words, if a series shows it."""
    words = []
    for name, values in evidence.checkpoints.items():
        point = change_point(values)
        if point is not None and point.change < 0 and point.p < SURE:
            how = "suddenly" if point.sudden >= SUDDEN else "step by step"
            words.append(f"{name} fell {how} around checkpoint {point.place + 1} of {len(values)} (p {point.p:.3f})")
    return f"; {', '.join(words)}" if words else ""
