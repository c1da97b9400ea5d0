"""The change point of a series: where its mean changes most, and whether a random order would change as much."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True)
class ChangePoint:
    """Where the mean of a series changes most.

    Attributes:
        place: Number of values before the change.
        change: Mean of the values from the change on, less the mean of those before.
        p: Share of the orders of the same values whose CUSUM goes as far, with (1 + count) / (1 + draws).
        sudden: Share of the series' whole fall or rise that lies between the two values around the change; 0 if the
            series ends where it began.
    """

    place: int
    change: float
    p: float
    sudden: float


def change_point(values: npt.ArrayLike, draws: int = 1_999) -> ChangePoint | None:
    """Returns the change point of a series; None with fewer than 4 values or if they are all equal.

        C_k = |sum_{i <= k} (x_i - mean x)| / sqrt(k (n - k) / n),    place = argmax_k C_k,    0 < k < n

    The weights make the statistic that of a comparison of two means, so that early and late changes count alike. Under
    the hypothesis of no change every order of the values is equally likely.

    Args:
        values: The series, finite, `[n]`.
        draws: Number of random orders.

    Raises:
        ValueError: A value is not finite, or the values are not a vector.

    Reference:
        E. S. Page, "Continuous inspection schemes", Biometrika 41, 1954 (CUSUM); its permutation test: Jushan Bai,
        "Least squares estimation of a shift in linear processes", 1994 (the weights).
    """
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1 or not np.isfinite(series).all():
        raise ValueError("Give a vector of finite values.")
    if series.size < 4 or np.ptp(series) == 0:
        return None
    n = series.size
    places = np.arange(1, n)
    scale = np.sqrt(places * (n - places) / n)

    def cusum(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        weighted: npt.NDArray[np.float64] = np.abs(np.cumsum(rows - rows.mean(-1, keepdims=True), -1)[..., :-1]) / scale
        return weighted

    seen = cusum(series)
    place = int(seen.argmax()) + 1
    rng = np.random.default_rng(0)
    orders = rng.permuted(np.broadcast_to(series, (draws, n)), axis=1)
    reached = int((cusum(orders).max(-1) >= seen.max() * (1 - 1e-9)).sum())
    change = float(series[place:].mean() - series[:place].mean())
    whole = float(series[-1] - series[0])
    step = float(series[place] - series[place - 1])
    return ChangePoint(place, change, (1 + reached) / (1 + draws), step / whole if whole else 0.0)
