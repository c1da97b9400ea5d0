"""The change of a metric that is not a mean over items (a calibration error, a median), with a bootstrap interval."""

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
"""Takes the rows of any number of items and returns a number."""


@dataclasses.dataclass(frozen=True)
class Resampled:
    """The change of a metric, and its values when the groups are resampled.

    Attributes:
        before: The metric before.
        after: The metric after.
        groups: Number of groups.
        drawn: The bootstrap result; None with a single group.
    """

    before: float
    after: float
    groups: int
    drawn: Any = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def change(self) -> float:
        """Returns `after - before`."""
        return self.after - self.before

    @property
    def degrees(self) -> float:
        """Returns infinity: `statistic` is a normal deviate."""
        return math.inf

    def statistic(self, change: float) -> float:
        """Returns the normal deviate of a supposed change among the resampled ones; positive if more lie above it.

        The number of draws limits it: at least half a draw counts as lying beyond.
        """
        if self.drawn is None:
            return 0.0
        drawn = self.drawn.bootstrap_distribution
        above = (np.count_nonzero(drawn > change) + 0.5 * np.count_nonzero(drawn == change)) / drawn.size
        least = 0.5 / drawn.size
        return float(stats.norm.ppf(min(1 - least, max(least, above))))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Returns the two-sided interval, bias-corrected and accelerated (BCa); unbounded for a single group."""
        if self.drawn is None:
            return -math.inf, math.inf
        drawn = self.drawn.bootstrap_distribution
        if np.ptp(drawn) == 0:
            return float(drawn[0]), float(drawn[0])
        ends: Any = self.drawn.interval(confidence)
        low, high = float(ends.low), float(ends.high)
        if math.isfinite(low) and math.isfinite(high):
            return low, high
        tail = (1 - confidence) / 2
        return float(np.quantile(drawn, tail)), float(np.quantile(drawn, 1 - tail))


@dataclasses.dataclass(frozen=True)
class _Drawn:
    bootstrap_distribution: npt.NDArray[np.float64]
    interval: Callable[[float], Any]


def bootstrap_change(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    metric: Metric,
    groups: Sequence[Hashable] | None = None,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Resampled:
    """Returns the change of a metric between two models on the same items, resampled over groups.

    Each draw takes the same groups for both models, so that the difficulty of the items cancels.

    Args:
        before: Values of each item before, `[n]` or `[n, k]`.
        after: Values of the same items after, in the same order.
        metric: The metric.
        groups: The group of each item, `[n]`; items of a group are not independent. By default each item is a group.
        resamples: Number of draws.
        seed: Seed of the draws.

    Raises:
        HoldfastError: There is no item, or the metric is not finite on all items.
        ValueError: The shapes of `before` and `after` differ.

    Reference:
        Bradley Efron, "Better bootstrap confidence intervals", Journal of the American Statistical Association 82,
        1987 (BCa), computed by `scipy.stats.bootstrap`; percentiles if its acceleration is undefined.
    """
    first, last = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.shape != last.shape:
        raise ValueError(f"before {first.shape}, after {last.shape}: give rows of one shape.")
    if not len(first):
        raise HoldfastError("There is no item to compare; give at least one, and two groups for an interval.")
    names = list(range(len(first)) if groups is None else groups)
    places: dict[Hashable, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    members = [np.array(indices) for indices in places.values()]

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

    def interval(confidence: float) -> Any:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            result = stats.bootstrap(
                data,
                change,
                n_resamples=0,
                bootstrap_result=drawn,
                confidence_level=confidence,
                method="BCa",
                **options,
            )
        return result.confidence_interval

    return Resampled(*values, len(members), _Drawn(np.asarray(drawn.bootstrap_distribution), interval))
