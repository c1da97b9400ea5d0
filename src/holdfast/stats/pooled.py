"""The mean of several changes: one number for all suites, with an interval that accounts for shared groups."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence

from scipy import optimize, stats

from holdfast.stats.verdict import Evidence


@dataclasses.dataclass(frozen=True)
class Pooled:
    """The unweighted mean of the changes of several suites.

    Attributes:
        parts: The evidence of each suite.
        inflation: Factor on the width of the interval, because suites may share groups; at least 1.
    """

    parts: tuple[Evidence, ...]
    inflation: float = 1.0

    @property
    def change(self) -> float:
        """Returns the mean of the changes."""
        return math.fsum(part.change for part in self.parts) / len(self.parts)

    @property
    def degrees(self) -> float:
        """Returns infinity: `statistic` is a normal deviate."""
        return math.inf

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Returns the two-sided interval of the mean, from the intervals of the parts (MOVER).

            low = m - f / K sqrt(sum_k (m_k - l_k)^2),    high = m + f / K sqrt(sum_k (h_k - m_k)^2)

        Reference:
            G. Y. Zou and Allan Donner, "Construction of confidence limits about effect measures: a general approach",
            Statistics in Medicine 27, 2008.
        """
        ends = [(part.change, *part.interval(confidence)) for part in self.parts]
        scale = self.inflation / len(ends)
        down = scale * math.sqrt(math.fsum((m - low) ** 2 for m, low, _ in ends))
        up = scale * math.sqrt(math.fsum((high - m) ** 2 for m, _, high in ends))
        return self.change - down, self.change + up

    def statistic(self, change: float) -> float:
        """Returns the normal deviate whose one-sided bound is `change`; positive if the observed mean is larger."""
        return reach(self, change)


def pooled(parts: Sequence[Evidence], shifts: Sequence[Mapping[Hashable, float]] = ()) -> Pooled:
    """Returns the mean of several changes.

    Suites that share groups (the questions about one person) are dependent. The inflation of the interval is that of
    the linearised standard error:

        f^2 = max(1, sum_g (sum_k e_gk)^2 / sum_g sum_k e_gk^2)

    Args:
        parts: The evidence of each suite.
        shifts: For each suite, by group: the sum of the differences of the group's items from the suite's change,
            divided by the suite's number of items (`e_gk`). Without shifts the suites count as independent.

    Raises:
        ValueError: There is no part, or only some parts have shifts.
    """
    if not parts or (shifts and len(shifts) != len(parts)):
        raise ValueError("Give at least one part, and shifts for none or for all of them.")
    whole: dict[Hashable, float] = defaultdict(float)
    for part in shifts:
        for group, value in part.items():
            whole[group] += value
    apart = math.fsum(value * value for part in shifts for value in part.values())
    joint = math.fsum(value * value for value in whole.values())
    return Pooled(tuple(parts), math.sqrt(max(1.0, joint / apart)) if apart else 1.0)


FARTHEST = 8.0
"""Largest normal deviate that `reach` returns."""


def reach(evidence: Evidence, change: float) -> float:
    """Returns the normal deviate at which a one-sided bound of the evidence equals `change`.

    It is positive if the observed change is larger, 0 if the interval is unbounded, and at most `FARTHEST`.
    """
    distance = evidence.change - change
    if distance == 0:
        return 0.0
    side = 0 if distance > 0 else 1

    def over(z: float) -> float:
        return (evidence.interval(2 * float(stats.norm.cdf(z)) - 1)[side] - change) * (1 - 2 * side)

    if over(0.0) <= 0:  # A part has an unbounded interval at any confidence.
        return 0.0
    if over(FARTHEST) > 0:
        return math.copysign(FARTHEST, distance)
    return math.copysign(float(optimize.brentq(over, 0.0, FARTHEST, xtol=1e-9)), distance)
