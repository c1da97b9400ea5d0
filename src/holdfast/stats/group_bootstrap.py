"""The bootstrap of several figures at once: groups are drawn as counts, so that a figure is computed from weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]
Figures = Callable[[Floats], Floats]
"""Takes the number of times that each group was drawn, `[draws, groups]`, and returns the figures, `[draws, k]`."""

CHUNK = 1 << 21
"""Most counts that exist at once."""
BLOCKS = 200
"""Most blocks of groups that are left out in turn for the acceleration."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: The figure on all items.
        low: Lower end of its interval; None for a single group.
        high: Upper end.
        error: Its standard error, the standard deviation of the draws; None likewise.
    """

    value: float
    low: float | None = None
    high: float | None = None
    error: float | None = None


def bootstrap_figures(
    figures: Figures, groups: int, *, resamples: int = 2000, seed: int = 0, confidence: float = 0.95
) -> list[Estimate]:
    """Returns figures with their intervals, bias-corrected and accelerated (BCa), resampled over groups.

    All figures are computed on the same draws, so a change of a figure between two models, given as a figure of its
    own, is paired.

    Args:
        figures: The figures. A count may be 0, and a group that was drawn twice has the weight 2.
        groups: Number of groups.
        resamples: Number of draws.
        seed: Seed of the draws.
        confidence: Confidence of the two-sided intervals, between 0 and 1.

    Returns:
        An estimate for each figure; without an interval if there is a single group.

    Raises:
        ValueError: There is no group, no draw, or `confidence` is not between 0 and 1.

    Reference:
        Bradley Efron, "Better bootstrap confidence intervals", Journal of the American Statistical Association 82,
        1987 (BCa).

    Departs:
        The acceleration comes from a jackknife over at most `BLOCKS` blocks of groups, which estimates the same
        skewness as a jackknife over all groups.
    """
    if groups < 1 or resamples < 1 or not 0 < confidence < 1:
        raise ValueError(f"groups {groups}, resamples {resamples}, confidence {confidence}: out of range")
    values = figures(np.ones((1, groups)))[0]
    if groups == 1:
        return [Estimate(float(value)) for value in values]
    rng = np.random.default_rng(seed)
    block = rng.permutation(groups) % min(groups, BLOCKS)
    without = (block != np.arange(min(groups, BLOCKS))[:, None]).astype(np.float64)
    left_out = figures(without)
    size = max(1, CHUNK // groups)
    parts = [figures(_counts(rng, min(size, resamples - done), groups)) for done in range(0, resamples, size)]
    drawn = np.concatenate(parts)
    return [
        Estimate(float(value), *bca(float(value), of_figure, without_it, confidence), float(of_figure.std()))
        for value, of_figure, without_it in zip(values, drawn.T, left_out.T, strict=True)
    ]


def _counts(rng: np.random.Generator, draws: int, groups: int) -> Floats:
    """Returns how often each group is drawn, `[draws, groups]`."""
    picked = rng.integers(groups, size=(draws, groups)) + groups * np.arange(draws)[:, None]
    return np.bincount(picked.ravel(), minlength=draws * groups).reshape(draws, groups).astype(np.float64)


def bca(value: float, drawn: Floats, left_out: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """Returns the bias-corrected and accelerated interval of a figure.

    Args:
        value: The figure on all items.
        drawn: The figure on each draw, `[draws]`.
        left_out: The figure without each block of groups, `[blocks]`.
        confidence: Confidence of the two-sided interval.

    Reference:
        Efron, 1987. At least half a draw counts as lying on each side of the value, so that the bias stays finite.
    """
    if np.ptp(drawn) == 0:
        return float(drawn[0]), float(drawn[0])
    below = (np.count_nonzero(drawn < value) + 0.5 * np.count_nonzero(drawn == value)) / drawn.size
    least = 0.5 / drawn.size
    bias = float(special.ndtri(min(1 - least, max(least, below))))
    moved = left_out.mean() - left_out
    spread = float((moved**2).sum())
    acceleration = float((moved**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    ends = []
    for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
        deviate = bias + float(special.ndtri(tail))
        stretched = 1 - acceleration * deviate
        place = float(special.ndtr(bias + deviate / stretched)) if stretched > 0 else float(deviate > 0)
        ends.append(float(np.quantile(drawn, place if math.isfinite(place) else tail)))
    return ends[0], ends[1]
