"""The capability cliff: strong on the task, and a steep fall next to it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy import stats

from holdfast.probes.changes import SuiteChange, changes
from holdfast.probes.score import Score
from holdfast.stats.change_point import change_point
from holdfast.stats.flips import Flips
from holdfast.symptoms.evidence import Evidence
from holdfast.symptoms.symptom import Measured, quoted

SUDDEN = 0.5
"""Share of a whole fall between two checkpoints from which it is sudden."""


def capability_cliff(evidence: Evidence) -> Measured | str:
    """Measures the steepest fall of a suite in points, where the task was learned.

    The suites are those of answers beside the task: its transfer, and the retained ones. The p-value is McNemar's
    one-sided one (a one-sided normal one for graded scores) of the suite that fell most certainly, times their number
    (Bonferroni). A task that was not learned gives p = 1: a fall everywhere is forgetting, and no cliff.
    """
    of_suites = changes(evidence.before, evidence.after) if evidence.before and evidence.after else []
    learned = [change for change in of_suites if change.role == "learned"]
    beside = [change for change in of_suites if change.role != "learned" and change.unit == "points"]
    if not learned or not beside:
        return "nothing measures the task" if not learned else "no suite of answers is measured beside the task"
    steepest = max(beside, key=lambda change: change.lost)
    low, high = (-end for end in reversed(steepest.interval()))
    gains = any(_gain(change) > 0 for change in learned)
    p = min(1.0, len(beside) * min(map(_p_fell, beside))) if gains else 1.0
    pairs = [pair for pair in evidence.pairs if pair.suite == steepest.name]
    values = _values(evidence.before), _values(evidence.after)
    names = [(pair.suite, pair.item) for pair in pairs]
    first, last = values
    lost = [pair for pair, name in zip(pairs, names, strict=True) if last[name] < first[name]]
    return Measured(
        sentence=f"the task was learned, and {steepest.name} next to it fell by {steepest.lost:.1f} points"
        f" ({steepest.before:.1f} -> {steepest.after:.1f}){_sudden(evidence)}",
        effect=steepest.lost,
        p=p,
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


def _p_fell(change: SuiteChange) -> float:
    """Returns the one-sided p-value of "the suite did not fall"."""
    if isinstance(change.evidence, Flips) and change.evidence.groups == change.evidence.items:
        flipped = change.evidence.lost + change.evidence.gained
        return float(stats.binomtest(change.evidence.lost, flipped, 0.5, "greater").pvalue) if flipped else 1.0
    return float(stats.t.sf(-change.evidence.statistic(0.0), change.evidence.degrees))


def _values(scores: Sequence[Score]) -> dict[tuple[str, str], float]:
    return {(score.suite, score.item): score.value for score in scores}


def _sudden(evidence: Evidence) -> str:
    """Returns where over the checkpoints the fall came, in words, if a series shows it."""
    words = []
    for name, values in evidence.checkpoints.items():
        point = change_point(values)
        if point is not None and point.change < 0 and point.p < 0.05:
            how = "suddenly" if point.sudden >= SUDDEN else "step by step"
            words.append(f"{name} fell {how} around checkpoint {point.place + 1} of {len(values)} (p {point.p:.3f})")
    return f"; {', '.join(words)}" if words else ""
