"""What the trials so far let expect of any candidate at any fidelity: two Gaussian processes with linear trends.

    log y(x, f) = b + sum_j w_j x_j + w_f log f + g(x, f) + e,   w_j ~ N(m_j, s_j^2),   g ~ GP(0, a^2 exp(-d^2 / 2))

for y the loss as a share of its limit, and for y what is learned. The means m_j of the trends are assumptions (a higher
rate learns and loses more, a penalty loses less, more steps do both more), which the trials correct; without them, the
few trials that a search can afford say nothing about candidates that were not tried. The noise e of the loss follows
from the distance of its bound, so that a loss of few items, or near zero, counts little.

Williams and Rasmussen, Gaussian Processes for Machine Learning (2006), equation 2.22 and section 2.7 (linear trends).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.stats

from holdfast.bench.fit.history import Entry
from holdfast.bench.fit.space import EPOCHS, RATE, RECIPE, Dimension, Point, Space

Array = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Trend:
    """Mean and standard deviation of a slope, of the loss and of what is learned, both in logarithms."""

    lost: tuple[float, float]
    learned: tuple[float, float]


PER_LOG = {
    RATE: Trend((1.3, 0.5), (0.4, 0.3)),
    EPOCHS: Trend((0.6, 0.3), (0.3, 0.2)),
    "strength": Trend((-0.4, 0.3), (-0.05, 0.1)),
    "ratio": Trend((-0.3, 0.3), (-0.05, 0.1)),
}
"""Slopes per factor of e, by the name of a dimension or of its setting; the fidelity has those of the epochs."""
PER_RANGE = Trend((0.0, 0.5), (0.0, 0.2))
"""Slopes of all other settings over their whole range."""
RECIPES = Trend((0.0, 0.7), (0.0, 0.4))
"""How recipes differ at their given settings."""
LEVEL = Trend((0.0, 2.0), (0.0, 2.0))
"""The level b, around the mean of the trials."""
BUMPS, LENGTH = 0.25, 0.4
"""Standard deviation a of what the trends leave, and the length of its correlation as a share of a range."""
LEAST_LOST, LEAST_LEARNED = 0.03, 0.05
"""Least loss as a share of its limit, and least learning as a share of the most, in logarithms."""
NOISE = 0.05
"""Least standard deviation of the noise e."""
UNFINISHED = 0.95
"""Share of its learning that a model has at the moment to which a guard goes back; the schedule has not ended there."""
QUANTILE = 1.645
"""Distance of the bound of a loss from the loss, in standard errors."""


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What is expected of candidates, one number for each.

    Attributes:
        learned: Expected learning.
        learned_sd: Standard deviation of its logarithm.
        over: Expected logarithm of the loss as a share of what is allowed.
        over_sd: Its standard deviation.
        holds: Whether a guard brings a whole run inside the budget.
    """

    learned: Array
    learned_sd: Array
    over: Array
    over_sd: Array
    holds: bool = False

    @property
    def inside(self) -> Array:
        """Returns the probability that the budget is kept."""
        return np.asarray(scipy.stats.norm.cdf(-self.over / self.over_sd))

    @property
    def counts(self) -> Array:
        """Returns the share of the learning that counts: none outside the budget, or what is left where a guard holds.

        A guard that goes back leaves exp(-k u) of it, for a loss of exp(u) of what is allowed, and a little less because
        the rate has not fallen yet. Expected over the normal distribution of u.
        """
        if not self.holds:
            return self.inside
        k, u, sd = PER_LOG[EPOCHS].learned[0] / PER_LOG[EPOCHS].lost[0], self.over, self.over_sd
        outside = np.exp(np.minimum(-k * u + (k * sd) ** 2 / 2, 0.0)) * scipy.stats.norm.cdf(u / sd - k * sd)
        return np.asarray(self.inside + UNFINISHED * outside)

    @property
    def value(self) -> Array:
        """Returns the expected learning that counts."""
        return np.asarray(self.learned * self.counts)

    def improvement(self, best: float) -> Array:
        """Returns the expected improvement over a value, times the probability that the budget is kept.

        Gelbart, Snoek and Adams, Bayesian Optimization with Unknown Constraints (1403.5607), equation 3, for a
        log-normal value.
        """
        if best <= 0:
            return self.value
        spread = np.maximum(self.learned_sd, 1e-6)
        mean = np.log(np.maximum(self.learned, 1e-300))
        z = (mean - math.log(best)) / spread
        rise = np.exp(mean + spread**2 / 2) * scipy.stats.norm.cdf(z + spread) - best * scipy.stats.norm.cdf(z)
        return np.asarray(np.maximum(rise, 0.0) * self.counts)


class Surrogate:
    """The two processes, given the trials of a search."""

    def __init__(self, space: Space, entries: Sequence[Entry], *, holds: bool = False) -> None:
        """Fits the processes to the trials with an outcome; the others count as if they were as expected.

        Args:
            space: The space; trials outside count nothing.
            entries: The trials.
            holds: Whether a guard brings a whole run inside the budget.
        """
        self.space, self.holds = space, holds
        points = [(entry, point) for entry in entries if (point := space.point(entry.candidate)) is not None]
        known = [pair for pair in points if pair[0].outcome is not None and pair[0].outcome.learned is not None]
        broken = [pair for pair in points if pair[0].outcome is not None and pair[0].outcome.learned is None]
        pending = [pair for pair in points if pair[0].outcome is None]
        self.most = max([_learned(entry) for entry, _ in known], default=1.0) or 1.0
        self.width = _median([_width(entry) for entry, _ in known])
        x = self._features([(p, e.fidelity) for e, p in [*known, *broken]])
        lost = [math.log(max(_share(e), LEAST_LOST)) for e, _ in known]
        worst = max([0.0, *lost]) + 1.0
        noise = [_noise(entry) for entry, _ in known]
        self._lost = _Process(x, np.array([*lost, *([worst] * len(broken))]), np.array([*noise, *([0.5] * len(broken))]))
        gains = [math.log(max(_learned(e) / self.most, LEAST_LEARNED)) for e, _ in known]
        x = x.of(len(known))
        self._learned = _Process(x, np.array(gains), np.full(len(known), NOISE), learned=True)
        for entry, point in pending:
            self._believe(self._features([(point, entry.fidelity)]))

    def _believe(self, x: _Features) -> None:
        """Adds a running trial with the outcome that is expected of it."""
        for process in (self._lost, self._learned):
            process.add(x, process.predict(x)[0], 0.2)

    def predict(self, points: Sequence[Point], fidelity: float = 1.0) -> Prediction:
        """Returns what to expect of some points."""
        x = self._features([(point, fidelity) for point in points])
        mean, spread = self._learned.predict(x)
        lost, sd = self._lost.predict(x)
        room = math.log(max(1.0 - self.width, LEAST_LOST))
        return Prediction(np.exp(mean) * self.most, spread, lost - room, np.sqrt(sd**2 + NOISE**2), self.holds)

    def _features(self, points: Sequence[tuple[Point, float]]) -> _Features:
        """Returns the features of points at fidelities."""
        has = [{name for name in _names(self.space, number)} for number in range(len(self.space.given))]
        middle = [self.space.point(given) or {} for given in self.space.given]
        rows, places, recipes = [], [], []
        for point, fidelity in points:
            recipe = int(point.get(RECIPE, 0))
            row, place = [], []
            for dimension in self.space.dimensions:
                value, given = float(point[dimension.name]), float(middle[recipe].get(dimension.name, dimension.low))
                step, where = _moved(dimension, value, given)
                active = dimension.name == RATE or dimension.name in has[recipe]
                row.append(step if active else 0.0)
                place.append(where if active else 0.5)
            rows.append([*row, math.log(fidelity)])
            places.append([*place, math.log(fidelity) / 6])
            recipes.append(recipe)
        width = len(self.space.dimensions) + 1
        trends = [*map(_trend, self.space.dimensions), PER_LOG[EPOCHS]]
        return _Features(
            np.array(rows, float).reshape(-1, width), np.array(places, float).reshape(-1, width), np.array(recipes), trends
        )


@dataclasses.dataclass(frozen=True)
class _Features:
    """Distances from the given settings `[n, d]`, places in the ranges `[n, d]`, recipes `[n]`, trends `[d]`."""

    rows: Array
    places: Array
    recipes: npt.NDArray[np.int64]
    trends: Sequence[Trend]

    def of(self, count: int) -> _Features:
        """Returns the first points."""
        return _Features(self.rows[:count], self.places[:count], self.recipes[:count], self.trends)

    def with_others(self, other: _Features) -> _Features:
        """Returns these points and others."""
        return _Features(
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.places, other.places]),
            np.concatenate([self.recipes, other.recipes]),
            self.trends,
        )


class _Process:
    """A Gaussian process with linear trends on logarithms."""

    def __init__(self, x: _Features, y: Array, noise: Array, *, learned: bool = False) -> None:
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

    def add(self, x: _Features, y: Array, noise: float) -> None:
        """Adds points."""
        self.x, self.y = self.x.with_others(x), np.concatenate([self.y, y])
        self.noise = np.concatenate([self.noise, np.full(len(y), noise)])
        self._fit()

    def _kernel(self, a: _Features, b: _Features) -> Array:
        same = (a.recipes[:, None] == b.recipes[None, :]).astype(float)
        linear = (a.rows * self.sd**2) @ b.rows.T
        distance = ((a.places[:, None, :] - b.places[None, :, :]) ** 2).sum(-1) / LENGTH**2
        bumps = BUMPS**2 * np.exp(-0.5 * distance)
        return np.asarray(self.level_sd**2 + self.recipe_sd**2 * same + linear + bumps * same)

    def predict(self, x: _Features) -> tuple[Array, Array]:
        """Returns mean and standard deviation, without noise."""
        across = self._kernel(x, self.x)
        mean = self.level + x.rows @ self.mean + across @ self.weights
        solved = scipy.linalg.solve_triangular(self.factor, across.T, lower=True)
        prior = self.level_sd**2 + self.recipe_sd**2 + (x.rows**2 * self.sd**2).sum(-1) + BUMPS**2
        return mean, np.sqrt(np.maximum(prior - (solved**2).sum(0), 1e-12))


def _names(space: Space, number: int) -> list[str]:
    """Returns the settings of a given candidate as names of dimensions."""
    return [
        f"{type(method).__name__}.{field.name}"
        for method in space.given[number].chain().parts()
        for field in dataclasses.fields(method)
    ]


def _moved(dimension: Dimension, value: float, given: float) -> tuple[float, float]:
    """Returns the distance from the given value, in logarithms where a slope is one per factor, and the place."""
    by_factor = _trend(dimension) is not PER_RANGE and value > 0 and given > 0
    log = dimension.log and dimension.low > 0
    place = (
        math.log(value / dimension.low) / math.log(dimension.high / dimension.low)
        if log and dimension.high > dimension.low
        else (value - dimension.low) / max(dimension.high - dimension.low, 1e-12)
    )
    if by_factor:
        return math.log(value / given), place
    start = (
        math.log(given / dimension.low) / math.log(dimension.high / dimension.low)
        if log and given > 0 and dimension.high > dimension.low
        else (given - dimension.low) / max(dimension.high - dimension.low, 1e-12)
    )
    return place - start, place


def _trend(dimension: Dimension) -> Trend:
    return PER_LOG.get(dimension.name) or PER_LOG.get(dimension.name.partition(".")[2]) or PER_RANGE


def _learned(entry: Entry) -> float:
    outcome = entry.outcome
    return 0.0 if outcome is None or outcome.learned is None else max(outcome.learned, 0.0)


def _share(entry: Entry) -> float:
    """Returns the loss as a share of its limit; of a trial that the guard ended, at least the limit."""
    outcome = entry.outcome
    if outcome is None or outcome.lost is None:
        return 0.0
    share = outcome.lost / outcome.limit
    return max(share, 1.0) if outcome.state == "pruned" else share


def _width(entry: Entry) -> float:
    """Returns the distance of the loss from its bound, as a share of the limit."""
    outcome = entry.outcome
    if outcome is None or outcome.lost is None or outcome.used is None or not math.isfinite(outcome.used):
        return 0.0
    return max(outcome.used - outcome.lost / outcome.limit, 0.0)


def _noise(entry: Entry) -> float:
    """Returns the standard deviation of the logarithm of the loss."""
    return max(NOISE, _width(entry) / QUANTILE / max(_share(entry), LEAST_LOST))


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if len(values) else 0.0
