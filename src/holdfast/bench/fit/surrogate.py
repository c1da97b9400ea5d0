"""What the trials so far let expect of any candidate at any fidelity: two Gaussian processes with linear trends.

    log y(x, f) = b + sum_j w_j x_j + w_f log f + g(x, f) + e,   w_j ~ N(m_j, s_j^2),   g ~ GP(0, a^2 exp(-d^2 / 2))

for y the loss as a share of its limit, and for y what is learned. The means m_j of the trends are assumptions (a higher
rate learns and loses more, a penalty loses less, more steps do both more), which the trials correct; without them, the
few trials that a search can afford say nothing about candidates that were not tried. The noise e follows from
the standard error of a reading, so that one of few items, or near zero, counts little.

Williams and Rasmussen, Gaussian Processes for Machine Learning (2006), equation 2.22 and section 2.7 (linear trends).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import scipy.stats

from holdfast.bench.fit.gaussian_process import NOISE, Array, Features, Process, Trend
from holdfast.bench.fit.history import Entry
from holdfast.bench.fit.space import EPOCHS, RATE, RECIPE, Dimension, Point, Space

PER_LOG = {
    RATE: Trend((1.3, 0.5), (0.6, 0.6)),
    EPOCHS: Trend((0.6, 0.3), (0.3, 0.3)),
    "strength": Trend((-0.4, 0.3), (-0.05, 0.1)),
    "ratio": Trend((-0.3, 0.3), (-0.05, 0.1)),
}
"""Slopes per factor of e, by the name of a dimension or of its setting; the fidelity has those of the epochs."""
PER_RANGE = Trend((0.0, 0.5), (0.0, 0.2))
"""Slopes of all other settings over their whole range."""
LEAST_LOST, LEAST_LEARNED = 0.03, 0.05
"""Least loss as a share of its limit, and least learning as a share of the most, in logarithms."""
UNFINISHED = 0.95
"""Share of its learning that a model has at the moment to which a guard goes back; the schedule has not ended there."""
FAR = 1e-3
"""Factor on the value of a candidate that is expected outside the budget, so that some order remains among these."""
BROKEN, PENDING = 0.5, 0.2
"""Noise of a failed trial, which counts as worse than the worst, and of a running one, which counts as expected."""
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

        A guard that goes back leaves exp(-k u) of it, for a loss of exp(u) of what is allowed, and a little less, as
        the rate has not fallen yet. Expected over the normal distribution of u.
        """
        if not self.holds:
            return self.inside
        k, u, sd = PER_LOG[EPOCHS].learned[0] / PER_LOG[EPOCHS].lost[0], self.over, self.over_sd
        outside = np.exp(-k * u + (k * sd) ** 2 / 2) * scipy.stats.norm.cdf(u / sd - k * sd)
        return np.asarray(self.inside + UNFINISHED * outside)

    @property
    def value(self) -> Array:
        """Returns the expected learning that counts, and nothing where the loss is expected outside the budget."""
        return np.asarray(self.learned * self.counts * np.where(self.over <= 0.0, 1.0, FAR * self.inside))

    def improvement(self, best: float) -> Array:
        """Returns the expected improvement over a value, times the probability that the budget is kept.

        Gelbart, Snoek and Adams, Bayesian Optimization with Unknown Constraints (1403.5607), equation 3, for a
        log-normal value.
        """
        if best <= 0:
            return np.asarray(self.learned * self.inside)
        spread = np.maximum(self.learned_sd, 1e-6)
        mean = np.log(np.maximum(self.learned, 1e-300))
        z = (mean - math.log(best)) / spread
        rise = np.exp(mean + spread**2 / 2) * scipy.stats.norm.cdf(z + spread) - best * scipy.stats.norm.cdf(z)
        return np.asarray(np.maximum(rise, 0.0) * self.inside)


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
        placed = [(entry, point) for entry in entries if (point := space.point(entry.candidate)) is not None]
        known = [pair for pair in placed if _is_known(pair[0])]
        broken = [pair for pair in placed if pair[0].outcome is not None and pair not in known]
        trials = [entry for entry, _ in known]
        self.most = _most(list(map(_learned, trials)))
        self.width, self.error = _median(list(map(_width, trials))), _median(list(map(_error, trials)))
        self.doubt = _median(list(map(_learned_error, trials))) / self.most
        x = self._features([(point, entry.fidelity) for entry, point in [*known, *broken]])
        self._lost = _of_loss(x, trials, len(broken))
        self._learned = _of_learning(x, trials, self.most)
        for entry, point in placed:
            if entry.outcome is None:
                self._believe(self._features([(point, entry.fidelity)]))

    def _believe(self, x: Features) -> None:
        """Adds a running trial with the outcome that is expected of it."""
        for process in (self._lost, self._learned):
            process.add(x, process.predict(x)[0], PENDING)

    def predict(self, points: Sequence[Point], fidelity: float = 1.0) -> Prediction:
        """Returns what to expect of some points."""
        x = self._features([(point, fidelity) for point in points])
        mean, spread = self._learned.predict(x)
        lost, sd = self._lost.predict(x)
        room = math.log(max(1.0 - self.width, LEAST_LOST))
        return Prediction(np.exp(mean) * self.most, spread, lost - room, np.sqrt(sd**2 + NOISE**2), self.holds)

    def information(self, points: Sequence[Point], fidelity: float) -> Array:
        """Returns how much a trial of each point would say about both processes, in nats.

            sum log(1 + s^2 / n^2) / 2,   for a standard deviation s, and n that of the noise

        A small loss is read with much noise on its logarithm, so a trial that loses something says more.
        """
        x = self._features([(point, fidelity) for point in points])
        lost, sd = self._lost.predict(x)
        noise = np.maximum(NOISE, self.error / np.maximum(np.exp(lost), LEAST_LOST))
        gain, spread = self._learned.predict(x)
        doubt = np.maximum(NOISE, self.doubt / np.maximum(np.exp(gain), LEAST_LEARNED))
        return np.asarray((np.log1p((sd / noise) ** 2) + np.log1p((spread / doubt) ** 2)) / 2)

    def _features(self, points: Sequence[tuple[Point, float]]) -> Features:
        """Returns the features of points at fidelities."""
        has = [set(_names(self.space, number)) for number in range(len(self.space.given))]
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
        return Features(
            np.array(rows, float).reshape(-1, width),
            np.array(places, float).reshape(-1, width),
            np.array(recipes),
            trends,
        )


def _of_loss(x: Features, known: Sequence[Entry], broken: int) -> Process:
    """Returns the process of the loss, from trials with a reading and then failed ones, which count as the worst."""
    lost = [math.log(max(_share(entry), LEAST_LOST)) for entry in known]
    worst = max([0.0, *lost]) + 1.0
    noise = [*map(_noise, known), *[BROKEN] * broken]
    return Process(x, np.array([*lost, *[worst] * broken]), np.array(noise))


def _of_learning(x: Features, known: Sequence[Entry], most: float) -> Process:
    """Returns the process of learning, from the trials with a reading, which are the first points of `x`."""
    gains = np.log([max(_learned(entry) / most, LEAST_LEARNED) for entry in known])
    errors = np.array([_learned_error(entry) / most for entry in known])
    return Process(x.of(len(known)), gains, np.maximum(NOISE, errors / np.exp(gains)), learned=True)


def _is_known(entry: Entry) -> bool:
    """Returns whether a trial has a reading."""
    return entry.outcome is not None and entry.outcome.learned is not None


def _names(space: Space, number: int) -> list[str]:
    """Returns the settings of a given candidate as names of dimensions."""
    return [
        f"{type(method).__name__}.{field.name}"
        for method in space.given[number].chain().parts()
        for field in dataclasses.fields(method)
    ]


def _moved(dimension: Dimension, value: float, given: float) -> tuple[float, float]:
    """Returns the distance from the given value, in logarithms where a slope is one per factor, and the place."""
    place = dimension.place(value)
    if _trend(dimension) is not PER_RANGE and value > 0 and given > 0:
        return math.log(value / given), place
    return place - dimension.place(given), place


def _trend(dimension: Dimension) -> Trend:
    return PER_LOG.get(dimension.name) or PER_LOG.get(dimension.name.partition(".")[2]) or PER_RANGE


def _learned(entry: Entry) -> float:
    outcome = entry.outcome
    return 0.0 if outcome is None or outcome.learned is None else max(outcome.learned, 0.0)


def _learned_error(entry: Entry) -> float:
    """Returns the standard error of what a trial learned; 0 if it is not known."""
    outcome = entry.outcome
    return 0.0 if outcome is None or outcome.learned_error is None else outcome.learned_error


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
    return max(NOISE, _error(entry) / max(_share(entry), LEAST_LOST))


def _error(entry: Entry) -> float:
    """Returns the standard error of the loss as a share of its limit; from the bound where it is not known."""
    outcome = entry.outcome
    if outcome is None or outcome.lost_error is None:
        return _width(entry) / QUANTILE
    return outcome.lost_error / outcome.limit


def _most(values: Sequence[float]) -> float:
    """Returns the largest value above 0; 1 without one."""
    return max(values, default=0.0) or 1.0


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if len(values) else 0.0
