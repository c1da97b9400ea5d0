"""A share of right answers, with an interval that accounts for the dependence of items within a group."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats


@dataclasses.dataclass(frozen=True)
class Share:
    """A share and its two-sided interval, all from 0 to 1.

    Attributes:
        share: Share of the items that were right.
        low: Lower end of the interval.
        high: Upper end of the interval.
        items: Number of items.
        groups: Number of groups.
    """

    share: float
    low: float
    high: float
    items: int
    groups: int


def share(values: npt.ArrayLike, groups: Sequence[Hashable], *, confidence: float = 0.95) -> Share:
    """Returns the mean of `values` and its Wilson interval over groups.

        n' = n / max(1, D),    D = v / (p (1 - p) / n),    v = G / (G - 1) * sum_g (x_g - p n_g)^2 / n^2

    `D` is the design effect: the variance of the mean relative to that of `n` independent items. If all items have the
    same value it is unknown, and every group counts as a single item (`n' = G`).

    Args:
        values: Whether each item was right, 0 or 1, `[n]`.
        groups: The group of each item, `[n]`.
        confidence: Nominal coverage, in (0, 1).

    Raises:
        ValueError: There is no item, the lengths differ, a value is not from 0 to 1, or `confidence` is not in (0, 1).

    Reference:
        Edwin B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22, 1927.
        Leslie Kish, "Survey Sampling", 1965, section 8.2 (design effect).
    """
    x_n = np.asarray(values, dtype=np.float64)
    if x_n.ndim != 1 or len(x_n) == 0 or len(x_n) != len(groups):
        raise ValueError("Give at least one item, and one value and one group for each.")
    if not ((x_n >= 0) & (x_n <= 1)).all():
        raise ValueError("Every value must be from 0 (wrong) to 1 (right).")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence}: give a number above 0 and below 1.")
    n, p = len(x_n), float(x_n.mean())
    numbers = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    place_n = np.array([numbers[group] for group in groups])
    count = len(numbers)
    effective = float(count)
    if count > 1 and 0 < p < 1:
        sums_g = np.bincount(place_n, x_n - p)
        variance = count / (count - 1) * float((sums_g**2).sum()) / n**2
        effective = n / max(1.0, variance * n / (p * (1 - p)))
    z = float(stats.t.ppf(0.5 + confidence / 2, count - 1)) if count > 1 else float("inf")
    if math.isinf(z):
        return Share(p, 0.0, 1.0, n, count)
    middle = (p + z * z / (2 * effective)) / (1 + z * z / effective)
    half = z / (1 + z * z / effective) * math.sqrt(p * (1 - p) / effective + z * z / (4 * effective**2))
    return Share(p, max(0.0, middle - half), min(1.0, middle + half), n, count)
