"""Learned, learned little, not learned: what a measured gain says beside a verdict on what was kept."""

from __future__ import annotations

from typing import Literal

from holdfast.stats.size import LEAST
from holdfast.stats.verdict import Evidence

Learned = Literal["learned", "learned little", "not learned", "not enough evidence", "not measured"]

ROOM = 0.05
"""Share of the answers that were wrong before below which a gain is little."""
REACHED = 0.25
"""Share of what the trained model had learned, before a guard took it back, below which what is left is little."""

BEST_FIRST: tuple[Learned, ...] = ("learned", "learned little", "not enough evidence", "not learned", "not measured")


def little(unit: str, before: float, reached: float | None = None) -> float:
    """Returns the gain below which a model has learned little.

    It is the largest of the least change of interest (`holdfast.stats.size.LEAST`); of answers, a twentieth of what
    there was to learn, the points that were missing to 100; and where a guard took the model back, a quarter of the
    most that it had seen learned. Texts have no known end, and so no share of it.

    Args:
        unit: "points" or "nats".
        before: What was known before, in the unit.
        reached: The most that a later model had learned over the base, in the unit; None if none was taken back.
    """
    room = ROOM * (100.0 - before) if unit == "points" else 0.0
    return max(LEAST[unit], room, REACHED * (reached or 0.0))


def learned_word(gain: float, low: float, high: float, least: float) -> Learned:
    """Returns the word on a gain.

    - **learned**: the interval lies above 0, and the gain is at least `least`;
    - **learned little**: it lies above 0, and the gain is below `least`;
    - **not learned**: it holds 0 or lies below, and its upper end is below `least`: if anything, little;
    - **not enough evidence**: it holds 0, and may be much as well.

    That something was learned is said wrongly in 2.5% of the cases at most (the interval is two-sided, 95%).

    Args:
        gain: What was gained over the base, positive where it is better.
        low: Lower end of its 95% interval.
        high: Upper end.
        least: As `little` gives it.
    """
    if low > 0:
        return "learned" if gain >= least else "learned little"
    return "not learned" if high < least else "not enough evidence"


def gained(evidence: Evidence, *, higher_is_better: bool) -> tuple[float, float, float]:
    """Returns a change and its 95% interval as a gain: positive where the model is better."""
    low, high = evidence.interval()
    return (evidence.change, low, high) if higher_is_better else (-evidence.change, -high, -low)
