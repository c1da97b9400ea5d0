"""The fit: from the features of a short run to what the whole run learns and loses, with intervals."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from importlib.resources import files
from typing import Literal

import numpy as np

from holdfast.bench.forecast.features import logit
from holdfast.bench.measured.schema import Versioned

Target = Literal["learned", "lost", "worst"]
__all__ = ["TARGETS", "Fit", "Interval", "Target", "committed", "logit", "points"]

TARGETS: tuple[Target, ...] = ("learned", "lost", "worst")
"""What is forecast, in points: learned (of what was left to learn), lost in the mean of suites, and on the worst."""
SLACK = 0.1
"""Share of a feature's range in the fit by which a case may lie outside before it counts as an extrapolation."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """A forecast in points, and the ends of its interval."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit(Versioned):
    """The committed fit: a linear function of features for each target, on a logit scale.

        logit((v + 1) / 102) = intercept + sum_f slope_f x_f -+ half

    for a target v in points, which is 0 where it would be negative. `half` is the conformal quantile of residuals of
    groups (a task in a world) that were left out.

    Attributes:
        confidence: Nominal coverage of the intervals.
        rows: Number of runs of the fit.
        groups: Names of its groups.
        parameters: Numbers of parameters of its models.
        intercepts: By target.
        slopes: By target and feature; a feature that a target does not name is not used for it.
        halves: Half the width of the interval on the logit scale, by target.
        low: Least value of each feature in the fit.
        high: Largest value of each feature in the fit.
        checks: What was measured on groups, worlds and models outside a fit, as sentences.
    """

    FILE = "fit.json"

    confidence: float
    rows: int
    groups: tuple[str, ...]
    parameters: tuple[int, ...]
    intercepts: Mapping[str, float]
    slopes: Mapping[str, Mapping[str, float]]
    halves: Mapping[str, float]
    low: Mapping[str, float]
    high: Mapping[str, float]
    checks: tuple[str, ...] = ()

    def forecast(self, target: Target, features: Mapping[str, float]) -> Interval:
        """Returns the forecast of a target from features.

        Raises:
            KeyError: A feature of the fit is missing.
        """
        middle = self.intercepts[target] + sum(slope * features[name] for name, slope in self.slopes[target].items())
        half = self.halves[target]
        return Interval(*(points(value) for value in (middle, middle - half, middle + half)))

    def beyond(self, features: Mapping[str, float], parameters: int) -> list[str]:
        """Returns in what a case lies outside what the fit has seen, as phrases; a feature that is NaN is left out."""
        phrases = []
        if not min(self.parameters) / 2 <= parameters <= max(self.parameters) * 2:
            sizes = ", ".join(f"{size / 1e6:.3g}M" for size in self.parameters)
            phrases.append(f"{parameters / 1e6:.3g}M parameters (fit: {sizes})")
        used = {name for slopes in self.slopes.values() for name in slopes}
        for name in (name for name in self.low if name in used):
            slack = SLACK * (self.high[name] - self.low[name])
            value = features[name]
            if not math.isnan(value) and not self.low[name] - slack <= value <= self.high[name] + slack:
                phrases.append(f"{name} {value:.2g} (fit: {self.low[name]:.2g} to {self.high[name]:.2g})")
        return phrases


def points(value: float) -> float:
    """Returns the inverse of `logit`, within 0 and 100."""
    return float(np.clip(102.0 / (1.0 + np.exp(-np.clip(value, -50.0, 50.0))) - 1.0, 0.0, 100.0))


@functools.cache
def committed() -> Fit:
    """Returns the fit that comes with the package."""
    return Fit.read(str(files("holdfast.bench.forecast") / Fit.FILE))
