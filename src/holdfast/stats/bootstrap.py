"""The change of a number that is no mean of items (a calibration error, a median), with an interval by resampling."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from holdfast.core.errors import HoldfastError

Metric = Callable[[npt.NDArray[np.float64]], float]
"""From the rows of some items to a number."""


@dataclasses.dataclass(frozen=True)
class Resampled:
    """A change and what it was when the groups were drawn again.

    Attributes:
        before: The number before.
        after: The number after.
        groups: Number of groups.
        found: What scipy drew; None with a single group.
    """

    before: float
    after: float
    groups: int
    found: Any = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def change(self) -> float:
        """Returns `after - before`."""
        return self.after - self.before

    @property
    def degrees(self) -> float:
        """Returns infinity: `statistic` is given as a normal."""
        return math.inf

    def statistic(self, change: float) -> float:
        """Returns the normal deviate of a supposed change among those drawn; positive where more are above it.

        At most what the number of draws can tell: half a draw is taken to lie beyond.
        """
        if self.found is None:
            return 0.0
        drawn = self.found.bootstrap_distribution
        above = (np.count_nonzero(drawn > change) + 0.5 * np.count_nonzero(drawn == change)) / drawn.size
        least = 0.5 / drawn.size
        return float(stats.norm.ppf(min(1 - least, max(least, above))))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Returns the two-sided interval: bias-corrected and accelerated; everything where there is a single group."""
        if self.found is None:
            return -math.inf, math.inf
        drawn = self.found.bootstrap_distribution
        if np.ptp(drawn) == 0:
            return float(drawn[0]), float(drawn[0])
        again: Any = self.found.again(confidence)
        low, high = float(again.low), float(again.high)
        if math.isfinite(low) and math.isfinite(high):
            return low, high
        tail = (1 - confidence) / 2
        return float(np.quantile(drawn, tail)), float(np.quantile(drawn, 1 - tail))


@dataclasses.dataclass(frozen=True)
class _Drawn:
    bootstrap_distribution: npt.NDArray[np.float64]
    again: Callable[[float], Any]


def bootstrap_change(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    metric: Metric,
    groups: Sequence[Hashable] | None = None,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Resampled:
    """Returns the change of a metric between two models asked the same items, resampled over groups.

    The same groups are drawn for both models, so that what is hard for both cancels.

    Args:
        before: What is known of each item before, `[n]` or `[n, k]`.
        after: The same after, in the same order.
        metric: From such rows of any number of items to a number.
        groups: What items that are not independent share; each item is its own if absent.
        resamples: Number of draws.
        seed: Of the draws.

    Raises:
        HoldfastError: If there is no item, or the metric is not finite on all of them.
        ValueError: If the rows are not of one shape.

    Reference:
        Bradley Efron, "Better bootstrap confidence intervals", Journal of the American Statistical Association 82,
        1987 (BCa), as `scipy.stats.bootstrap` has it; percentiles where its acceleration cannot be had.
    """
    first, last = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.shape != last.shape:
        raise ValueError(f"before {first.shape}, after {last.shape}: give rows of one shape")
    if not len(first):
        raise HoldfastError("There is no item to compare; give at least one, and two groups for an interval.")
    names = list(range(len(first)) if groups is None else groups)
    places: dict[Hashable, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    members = [np.array(own) for own in places.values()]

    def change(drawn: npt.NDArray[Any]) -> float:
        rows = np.concatenate([members[int(i)] for i in drawn])
        return metric(last[rows]) - metric(first[rows])

    values = metric(first), metric(last)
    if not all(map(math.isfinite, values)):
        raise HoldfastError("The metric is not finite on these items; leave out what it cannot measure.")
    if len(members) < 2:
        return Resampled(*values, len(members))
    options: dict[str, Any] = {"vectorized": False, "rng": np.random.default_rng(seed)}
    data = (np.arange(len(members)),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        drawn = stats.bootstrap(data, change, n_resamples=resamples, method="percentile", **options)

    def again(confidence: float) -> Any:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = stats.bootstrap(
                data,
                change,
                n_resamples=0,
                bootstrap_result=drawn,
                confidence_level=confidence,
                method="BCa",
                **options,
            )
        return found.confidence_interval

    return Resampled(*values, len(members), _Drawn(np.asarray(drawn.bootstrap_distribution), again))
