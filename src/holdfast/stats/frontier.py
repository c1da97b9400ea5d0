"""The trade-off between learning and forgetting: the loss at equal learning, the Pareto front, and the hypervolume."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import optimize

Floats = npt.NDArray[np.float64]


def lost_at(learned: Sequence[float], lost: Sequence[float], goal: float) -> float:
    """Returns the loss of a method at the dose where it has learned `goal`; nan if no dose learns that much.

    Only doses up to the one that learns most count: a higher dose that learns less went too far, and tells nothing
    about the lower ones. The function fits learned and lost as functions of the dose that never fall (isotonic
    regression). The base belongs to the fit and has learned and lost exactly 0, so neither fit is below 0: a later dose
    cannot spend what an earlier one gained on the suites to keep. Between doses both fits are linear.

    Args:
        learned: Learned over the base at each dose, in rising order of doses.
        lost: Lost at the same doses.
        goal: How much to learn; at least 0.

    Reference:
        Barlow et al., "Statistical inference under order restrictions", 1972 (pool adjacent violators), computed by
        `scipy.optimize.isotonic_regression`; a fit with a known start equals the fit without it, cut off there.
    """
    if goal <= 0:
        return 0.0
    if not len(learned) or any(map(math.isnan, (*learned, *lost))):
        return math.nan
    top = list(learned).index(max(learned)) + 1
    rises, falls = (
        [0.0, *np.maximum(optimize.isotonic_regression(list(values[:top])).x, 0.0).tolist()]
        for values in (learned, lost)
    )
    if not rises[-1] >= goal:
        return math.nan
    above = next(place for place, value in enumerate(rises) if value >= goal)
    share = (goal - rises[above - 1]) / (rises[above] - rises[above - 1])
    return float(falls[above - 1] + share * (falls[above] - falls[above - 1]))


def on_front(learned_BR: Floats, lost_BR: Floats) -> npt.NDArray[np.bool_]:
    """Returns which methods are on the Pareto front.

    No other method learns at least as much and loses at most as much, with one of the two better.

    Args:
        learned_BR: Learned by each of R methods in each of B draws, `[B, R]`; higher is better. A method with nan is
            not on the front.
        lost_BR: Lost, `[B, R]`; lower is better.

    Returns:
        Bool, `[B, R]`.
    """
    as_good = (learned_BR[:, None, :] >= learned_BR[:, :, None]) & (lost_BR[:, None, :] <= lost_BR[:, :, None])
    better = (learned_BR[:, None, :] > learned_BR[:, :, None]) | (lost_BR[:, None, :] < lost_BR[:, :, None])
    beaten = (as_good & better).any(-1)
    known: npt.NDArray[np.bool_] = ~(np.isnan(learned_BR) | np.isnan(lost_BR))
    return known & ~beaten


def hypervolume(learned: Sequence[float], lost: Sequence[float], most_learned: float, most_lost: float) -> float:
    """Returns the share of the plane of learned and kept that some points dominate.

    The plane reaches from nothing learned to `most_learned`, and from `most_lost` to nothing lost. A method that learns
    everything and loses nothing has the share 1; one that trades both in proportion has 1/2.

    Args:
        learned: Learned over the base, for each point.
        lost: Lost, for each point.
        most_learned: Upper end of learned; above 0.
        most_lost: Upper end of lost; above 0.

    Reference:
        Zitzler and Thiele, "Multiobjective evolutionary algorithms: a comparative case study", 1999 (the measure S).
    """
    kept = [1 - min(max(x, 0.0), most_lost) / most_lost for x in lost]
    gained = [min(max(y, 0.0), most_learned) / most_learned for y in learned]
    area, reached = 0.0, 0.0
    for gain, keep in sorted(zip(gained, kept, strict=True), key=lambda point: (-point[1], -point[0])):
        if gain > reached:
            area, reached = area + (gain - reached) * keep, gain
    return area
