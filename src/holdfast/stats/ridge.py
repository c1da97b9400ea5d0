"""Ridge regression within groups, each with a level of its own, and its check on groups left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Linear:
    """A linear function of features.

    Attributes:
        intercept: Value where all features are 0.
        slopes_F: Slope of each feature, `[F]`.
    """

    intercept: float
    slopes_F: Numbers

    def __call__(self, features_NF: Numbers) -> Numbers:
        """Returns the values, `[N]`, at features `[N, F]`."""
        values_N: Numbers = self.intercept + np.asarray(features_NF, dtype=float) @ self.slopes_F
        return values_N


def ridge(features_NF: Numbers, values_N: Numbers, groups: Sequence[object], strength: float) -> Linear:
    """Returns the fit of values by features, whose slopes come from differences within groups.

        min  sum_i w_i ((y_i - y_k) - z_i b)^2 + strength |b|^2,   z_i = (x_i - x_k) / sd,   w_i = 1 / (K n_k)

    for row i of group k, with the means x_k and y_k of its group; the intercept is the weighted mean of y - x slopes.
    K groups of any size count equally, and what sets a whole group apart bends no slope (fixed effects). A feature
    that does not vary within groups gets the slope 0.

    Args:
        features_NF: Features, `[N, F]`.
        values_N: Values, `[N]`.
        groups: Group of each row.
        strength: Strength of the penalty on the slopes of standardised features, at least 0.

    Raises:
        ValueError: There are no rows, or their numbers differ.
    """
    features, values = np.asarray(features_NF, dtype=float), np.asarray(values_N, dtype=float)
    if not len(values) or not len(features) == len(values) == len(groups):
        raise ValueError(f"{len(features)} rows, {len(values)} values and {len(groups)} groups: give one of each")
    _, number, counts = np.unique([repr(group) for group in groups], return_inverse=True, return_counts=True)
    weights = 1.0 / (counts[number] * len(counts))
    totals = np.zeros((len(counts), features.shape[1] + 1))
    np.add.at(totals, number, np.column_stack([features, values]))
    means = (totals / counts[:, None])[number]
    apart, deviations = features - means[:, :-1], values - means[:, -1]
    spread_F = np.sqrt(weights @ apart**2)
    varies = spread_F > 1e-12 * np.maximum(np.abs(features).max(0), 1.0)
    scale_F = np.where(varies, spread_F, 1.0)
    standard = np.where(varies, apart / scale_F, 0.0)
    gram = standard.T @ (weights[:, None] * standard) + strength * np.eye(features.shape[1])
    slopes = np.linalg.lstsq(gram, standard.T @ (weights * deviations), rcond=None)[0]
    slopes_F = np.where(varies, slopes / scale_F, 0.0)
    return Linear(float(weights @ (values - features @ slopes_F)), slopes_F)


def left_out(features_NF: Numbers, values_N: Numbers, groups: Sequence[object], strength: float) -> Numbers:
    """Returns the value of each row by a fit on the rows of all other groups, `[N]`.

    Raises:
        ValueError: There are fewer than two groups, or numbers of rows differ.
    """
    names = np.array([repr(group) for group in groups])
    if len(set(names)) < 2:
        raise ValueError("give rows of at least two groups, one to leave out and one to fit")
    features, values = np.asarray(features_NF, dtype=float), np.asarray(values_N, dtype=float)
    predicted = np.empty(len(values))
    for name in set(names):
        out = names == name
        fit = ridge(features[~out], values[~out], list(names[~out]), strength)
        predicted[out] = fit(features[out])
    return predicted
