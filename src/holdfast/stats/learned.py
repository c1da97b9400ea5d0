"""The word on a measured gain: learned, learned little, not learned. It stands beside the verdict on the loss."""

from __future__ import annotations

from typing import Literal

from holdfast.stats.size import LEAST
from holdfast.stats.verdict import Evidence

Learned = Literal["learned", "learned little", "not learned", "not enough evidence", "not measured"]

ROOM = 0.05
"""A gain below this share of the answers that were wrong before is little."""
REACHED = 0.25
"""If a guard took the model back, a gain below this share of the most that the model had learned is little."""

BEST_FIRST: tuple[Learned, ...] = ("learned", "learned little", "not enough evidence", "not learned", "not measured")


def little(unit: str, before: float, reached: float | None = None) -> float:
    """Returns the gain below which a model has learned little, in the unit.

    It is the maximum of three numbers: the least change of interest (`holdfast.stats.size.LEAST`); for answers, a
    twentieth of the points that were missing to 100; and if a guard took the model back, a quarter of the largest gain
    that it had seen. Texts have no known limit, so the second number is 0 for them.

    Args:
        unit: "points" or "nats".
        before: The score before, in the unit.
        reached: The largest gain over the base that the guard had seen, in the unit; None if it took nothing back.
    """
    room = ROOM * (100.0 - before) if unit == "points" else 0.0
    return max(LEAST[unit], room, REACHED * (reached or 0.0))


def learned_word(gain: float, low: float, high: float, least: float) -> Learned:
    """Returns the word on a gain.

    - **learned**: the interval lies above 0, and the gain is at least `least`;
    - **learned little**: the interval lies above 0, and the gain is below `least`;
    - **not learned**: the interval contains 0 or lies below, and its upper end is below `least`;
    - **not enough evidence**: the interval contains 0, and its upper end is not below `least`.

    If nothing was learned, the word is learned or learned little in at most 2.5% of the cases (the interval is a
    two-sided one at 95%).

    Args:
        gain: The gain over the base; positive if the model is better.
        low: Lower end of its 95% interval.
        high: Upper end of the interval.
        least: The result of `little`.
    """
    if low > 0:
        return "learned" if gain >= least else "learned little"
    return "not learned" if high < least else "not enough evidence"


def gained(evidence: Evidence, *, higher_is_better: bool) -> tuple[float, float, float]:
    """Returns a change and the ends of its 95% interval as a gain: positive if the model is better."""
    low, high = evidence.interval()
    return (evidence.change, low, high) if higher_is_better else (-evidence.change, -high, -low)
