"""The trade between learning and keeping: what is lost at equal learning, and who is beaten by nobody."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import optimize

Floats = npt.NDArray[np.float64]


def lost_at(learned: Sequence[float], lost: Sequence[float], goal: float) -> float:
    """Returns what a method has lost when it has learned as much as `goal`; nan where it never does.

    Doses count up to the one that learns most: a higher one that learns less went too far, and says nothing of those
    below it. Learned and lost are both fitted as functions of the dose that never fall (isotonic regression). The base
    is part of the fit and has learned and lost exactly nothing, so that neither function is ever below 0: where a dose
    lost less than nothing, what it gained is no price that a later dose can spend. Between doses they are straight
    lines. Nothing is taken beyond the dose that learns most.

    Args:
        learned: What is learned over the base at each dose, doses rising.
        lost: What is lost at the same doses.
        goal: How much is to be learned; at least 0.

    Reference:
        Barlow et al., "Statistical inference under order restrictions", 1972 (pool adjacent violators), as
        `scipy.optimize.isotonic_regression` has it; a fit with a known start is the one without, cut off there.
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
    """Returns who is beaten by nobody: no other learns as much and loses as little, and does one of them better.

    Args:
        learned_BR: Learned by each of R methods, in each of B draws; higher is better. What is nan is on no front.
        lost_BR: Lost; lower is better.

    Returns:
        Bool, `[B, R]`.
    """
    as_good = (learned_BR[:, None, :] >= learned_BR[:, :, None]) & (lost_BR[:, None, :] <= lost_BR[:, :, None])
    better = (learned_BR[:, None, :] > learned_BR[:, :, None]) | (lost_BR[:, None, :] < lost_BR[:, :, None])
    beaten = (as_good & better).any(-1)
    known: npt.NDArray[np.bool_] = ~(np.isnan(learned_BR) | np.isnan(lost_BR))
    return known & ~beaten


def hypervolume(learned: Sequence[float], lost: Sequence[float], most_learned: float, most_lost: float) -> float:
    """Returns the share of the plane between the base and the worst that some points are better than.

    The plane reaches from nothing learned to `most_learned`, and from `most_lost` to nothing lost. A method that learns
    everything and loses nothing has all of it; one that trades one for the other in proportion has half.

    Args:
        learned: Learned over the base, of each point.
        lost: Lost, of each point.
        most_learned: End of the plane; above 0.
        most_lost: Its other end; above 0.

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
