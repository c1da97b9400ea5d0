"""The capability cliff: strong on the task, and a steep fall next to it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from holdfast.probes.changes import SuiteChange, changes
from holdfast.probes.score import Score, for_stats
from holdfast.stats.change_point import change_point
from holdfast.stats.largest_fall import fell
from holdfast.symptoms.evidence import Evidence, Pair
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
    if not learned:
        return "nothing measures the task"
    if not beside:
        return "no suite of answers is measured beside the task"
    return _steepest(beside, evidence, max(map(_gain, learned)) > 0)


def _steepest(beside: Sequence[SuiteChange], evidence: Evidence, is_learned: bool) -> Measured:
    """Returns the fall of the suite that fell most among those that certainly fell, or among all if none did."""
    p_values = fell(_moves(evidence, {change.name for change in beside}))
    sure = [change for change in beside if p_values[change.name] < SURE]
    steepest = max(sure or beside, key=lambda change: change.lost)
    p = p_values[steepest.name] if is_learned else 1.0
    return _measured(steepest, p, sum(change.items for change in beside), evidence)


def _measured(steepest: SuiteChange, p: float, items: int, evidence: Evidence) -> Measured:
    """Returns the fall of the steepest suite, with the answers that it lost."""
    low, high = (-end for end in reversed(steepest.interval()))
    return Measured(
        sentence=f"the task was learned, and {steepest.name} next to it fell by {steepest.lost:.1f} points"
        f" ({steepest.before:.1f} -> {steepest.after:.1f}){_sudden(evidence)}",
        effect=for_stats(steepest.lost),
        p=p,
        answers=items,
        low=for_stats(low),
        high=for_stats(high),
        before=for_stats(steepest.before),
        after=for_stats(steepest.after),
        quotes=quoted(_lost(steepest.name, evidence)),
    )


def _lost(suite: str, evidence: Evidence) -> list[Pair]:
    """Returns the pairs of a suite whose score fell."""
    before, after = _values(evidence.before), _values(evidence.after)
    pairs = [pair for pair in evidence.pairs if pair.suite == suite]
    return [pair for pair in pairs if after[suite, pair.item] < before[suite, pair.item]]


def _gain(change: SuiteChange) -> float:
    """Returns the one-sided 95% bound of a suite's gain."""
    low, high = change.interval(0.9) if change.known else (-math.inf, math.inf)
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
