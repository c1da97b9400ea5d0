"""A Gaussian process with linear trends, on the logarithm of what a trial reads.

    y(x) = b + h_r + sum_j w_j x_j + g(x) + e,   w_j ~ N(m_j, s_j^2),   g ~ GP(0, a^2 exp(-d^2 / (2 l^2)))

with a level b, the effect h_r of a recipe, slopes w_j, and what they leave. Nothing is fitted but the level: a search
has too few trials to fit more.

Williams and Rasmussen, Gaussian Processes for Machine Learning (2006), equation 2.22 and section 2.7.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.linalg

Array = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Trend:
    """Mean and standard deviation of a slope, of the loss and of what is learned, both in logarithms."""

    lost: tuple[float, float]
    learned: tuple[float, float]


RECIPES = Trend((0.0, 0.7), (0.0, 0.4))
"""How recipes differ at their given settings."""
LEVEL = Trend((0.0, 2.0), (0.0, 2.0))
"""The level b, around the mean of the trials."""
BUMPS, LENGTH = 0.25, 0.4
"""Standard deviation a of what the trends leave, and the length of its correlation as a share of a range."""
NOISE = 0.05
"""Least standard deviation of the noise e."""


@dataclasses.dataclass(frozen=True)
class Features:
    """Distances from the given settings `[n, d]`, places in the ranges `[n, d]`, recipes `[n]`, trends `[d]`."""

    rows: Array
    places: Array
    recipes: npt.NDArray[np.int64]
    trends: Sequence[Trend]

    def of(self, count: int) -> Features:
        """Returns the first points."""
        return Features(self.rows[:count], self.places[:count], self.recipes[:count], self.trends)

    def with_others(self, other: Features) -> Features:
        """Returns these points and others."""
        return Features(
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.places, other.places]),
            np.concatenate([self.recipes, other.recipes]),
            self.trends,
        )


class Process:
    """A Gaussian process with linear trends on logarithms."""

    def __init__(self, x: Features, y: Array, noise: Array, *, learned: bool = False) -> None:
        self.x, self.y, self.noise = x, y, noise
        slopes = [trend.learned if learned else trend.lost for trend in x.trends]
        self.mean, self.sd = (np.array([slope[place] for slope in slopes]) for place in (0, 1))
        self.recipe_sd = (RECIPES.learned if learned else RECIPES.lost)[1]
        self.level_sd = (LEVEL.learned if learned else LEVEL.lost)[1]
        self._fit()

    def _fit(self) -> None:
        residual = self.y - self.x.rows @ self.mean
        self.level = float(residual.mean()) if len(residual) else 0.0
        matrix = self._kernel(self.x, self.x) + np.diag(np.maximum(self.noise, NOISE) ** 2)
        self.factor = np.linalg.cholesky(matrix)
        self.weights = scipy.linalg.cho_solve((self.factor, True), residual - self.level)

    def add(self, x: Features, y: Array, noise: float) -> None:
        """Adds points."""
        self.x, self.y = self.x.with_others(x), np.concatenate([self.y, y])
        self.noise = np.concatenate([self.noise, np.full(len(y), noise)])
        self._fit()

    def _kernel(self, a: Features, b: Features) -> Array:
        same = (a.recipes[:, None] == b.recipes[None, :]).astype(float)
        linear = (a.rows * self.sd**2) @ b.rows.T
        distance = ((a.places[:, None, :] - b.places[None, :, :]) ** 2).sum(-1) / LENGTH**2
        bumps = BUMPS**2 * np.exp(-0.5 * distance)
        return np.asarray(self.level_sd**2 + self.recipe_sd**2 * same + linear + bumps * same)

    def predict(self, x: Features) -> tuple[Array, Array]:
        """Returns mean and standard deviation, without noise."""
        across = self._kernel(x, self.x)
        mean = self.level + x.rows @ self.mean + across @ self.weights
        solved = scipy.linalg.solve_triangular(self.factor, across.T, lower=True)
        prior = self.level_sd**2 + self.recipe_sd**2 + (x.rows**2 * self.sd**2).sum(-1) + BUMPS**2
        return mean, np.sqrt(np.maximum(prior - (solved**2).sum(0), 1e-12))
