"""The mean of several changes: one number for all suites, with an interval that accounts for shared groups."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from holdfast.stats.verdict import Evidence


class Part(Evidence, Protocol):
    """The change of one suite: `holdfast.stats.flips.Flips`, `graded.Graded` or `paired.Change`."""

    @property
    def unseen(self) -> float:
        """Returns the variance that a loss of 1 adds as long as it flips few items; 0 if the variance is constant."""

    def variance(self, change: float) -> float:
        """Returns the variance of the observed change if the true change is `change`; infinity without evidence."""


@dataclasses.dataclass(frozen=True)
class Pooled:
    """The unweighted mean of the changes of several suites.

    Attributes:
        parts: The evidence of each suite.
        inflation: Factor on the width of the interval, because suites may share groups; at least 1.
    """

    parts: tuple[Part, ...]
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
        """Returns the two-sided interval of the mean: all values D that the score statistic does not reject.

            |m - D| <= f / K sqrt(sum_k t_k^2 V_k(m_k + s_k)),    sum_k s_k = K (D - m),    s_k ~ u_k^2

        `V_k` is the variance of a part under a true change and `t_k` the quantile of its degrees of freedom. A mean of
        D differs from the observed one because the changes of parts do; small parts (`u_k` is the variance that a rare
        flip adds, 1 / n_k) take most of the difference `s_k`, because a loss escapes notice there most easily. The sum
        of the parts' own intervals (MOVER) would count the room for unseen losses K times: 20 suites of 29 items, of
        which a tenth flip, have an interval of +-2.6 points by this rule and of +-3.5 by that one.

        A part without evidence counts with the whole way to the end of its interval.

        Reference:
            Olli Miettinen and Markku Nurminen, "Comparative analysis of two rates", Statistics in Medicine 4, 1985,
            section 5: the score interval of a stratified difference, here with equal weights and Tango's variance.
        """
        return self._end(confidence, -1), self._end(confidence, 1)

    def statistic(self, change: float) -> float:
        """Returns the normal deviate whose one-sided bound is `change`; positive if the observed mean is larger.

        It is 0 if the interval is unbounded, and at most `FARTHEST`.
        """
        distance = self.change - change
        side = -1 if distance > 0 else 1
        needed = (distance * len(self.parts) / self.inflation) ** 2 - self._blind(0.95, side)
        if needed <= 0:
            return 0.0
        variances = self._variances(abs(distance), side)

        def over(z: float) -> float:
            return float(self._far(2 * float(stats.norm.cdf(z)) - 1) ** 2 @ variances) - needed

        far = FARTHEST if over(FARTHEST) <= 0 else float(optimize.brentq(over, 0.0, FARTHEST, xtol=1e-9))
        return -side * far

    def _end(self, confidence: float, side: int) -> float:
        """Returns the lower end of the interval (`side` -1) or the upper one (1)."""
        squares, blind = self._far(confidence) ** 2, self._blind(confidence, side)
        if math.isinf(blind):
            return side * math.inf

        def reach_of(way: float) -> float:
            """Returns how far the interval reaches by the variances under a mean that lies so far away."""
            apart = float(squares @ self._variances(way, side)) + blind
            return self.inflation / len(self.parts) * math.sqrt(apart)

        least = 1e-9
        way = max(2 * least, reach_of(0.0))
        if reach_of(least) <= least:  # nothing can have moved
            return self.change
        while reach_of(way) > way:
            way *= 2
        return self.change + side * float(optimize.brentq(lambda way: way - reach_of(way), least, way, xtol=1e-12))

    def _far(self, confidence: float) -> npt.NDArray[np.float64]:
        """Returns the quantile of each part, `[K]`."""
        return np.array(stats.t.ppf(0.5 + confidence / 2, [part.degrees for part in self.parts]))

    def _variances(self, way: float, side: int) -> npt.NDArray[np.float64]:
        """Returns the variance of each part, `[K]`, if the true mean lies `way` from the observed one; 0 if unknown."""
        unseen = np.array([part.unseen**2 for part in self.parts])
        shifts = side * way * len(self.parts) * unseen / (unseen.sum() or 1.0)
        found = [
            part.variance(max(-1.0, min(1.0, part.change + shift)) if part.unseen else part.change)
            for part, shift in zip(self.parts, shifts.tolist(), strict=True)
        ]
        return np.array([0.0 if math.isinf(value) else value for value in found])

    def _blind(self, confidence: float, side: int) -> float:
        """Returns the sum of the squared ways to the ends of the intervals of parts without evidence."""
        parts = [part for part in self.parts if math.isinf(part.variance(part.change))]
        return math.fsum((part.interval(confidence)[side > 0] - part.change) ** 2 for part in parts)


def pooled(parts: Sequence[Part], shifts: Sequence[Mapping[Hashable, float]] = ()) -> Pooled:
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
