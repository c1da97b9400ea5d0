"""Means of many runs on the same items, and what they would have been with other items and other seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Suite:
    """What the runs of a comparison scored on one suite.

    Attributes:
        groups: The group of each item, `[n]`; items of a group are drawn together.
        weights: How many units each score is a sum over, `[n]`.
        scores: Of each run (or of what is left of it after the base's is taken away), `[n, C]`.
    """

    groups: Sequence[Hashable]
    weights: Floats
    scores: Floats


@dataclasses.dataclass(frozen=True)
class Draws:
    """Which groups and which seeds make up each of B imagined repetitions; the first is what was measured.

    Every run is given the same items and the same seeds in a repetition, so that what is hard for all cancels in their
    differences. Suites that share groups are drawn together.

    Attributes:
        items: How often each group is drawn, `[B, G]`.
        seeds: How often each seed is drawn, `[B, S]`.
        names: The column of each group in `items`.
    """

    items: Floats
    seeds: Floats
    names: Mapping[Hashable, int]

    @classmethod
    def of(cls, suites: Sequence[Suite], seeds: int, count: int, seed: int = 0) -> Draws:
        """Returns `count` repetitions after the measured one, from a seed."""
        names = {group: i for i, group in enumerate(dict.fromkeys(g for suite in suites for g in suite.groups))}
        rng = np.random.default_rng(seed)

        def drawn(size: int) -> Floats:
            again = rng.multinomial(size, np.full(size, 1 / size), size=count).astype(np.float64)
            return np.concatenate([np.ones((1, size)), again])

        return cls(drawn(len(names)), drawn(seeds), names)

    def means(self, suite: Suite) -> Floats:
        """Returns the mean of each run's scores on a suite in each repetition, `[B, C]`; nan where no item is drawn."""
        place = np.array([self.names[group] for group in suite.groups])
        own, inside = np.unique(place, return_inverse=True)
        sums = np.zeros((len(own), suite.scores.shape[1]))
        weights = np.zeros(len(own))
        np.add.at(sums, inside, suite.scores)
        np.add.at(weights, inside, suite.weights)
        drawn = self.items[:, own]
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Floats = (drawn @ sums) / (drawn @ weights)[:, None]
        return found

    def over_seeds(self, values_BS: Floats) -> Floats:
        """Returns the mean over the seeds drawn in each repetition, `[B]`; a seed that is nan is left out.

            m + sqrt(S / (S - 1)) (m* - m)

        m is the mean of all S seeds and m* of those drawn, whose variance is too small by that factor: with two seeds
        the half of what it should be.
        """
        known = ~np.isnan(values_BS)
        values, counts = np.where(known, values_BS, 0.0), self.seeds * known
        seeds = known.sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = (self.seeds * values).sum(1) / counts.sum(1)
            mean = values.sum(1) / seeds
            wide = np.sqrt(np.where(seeds > 1, seeds / (seeds - 1), 1.0))
            found: Floats = mean + wide * (drawn - mean)
        return found


def interval(drawn_B: Floats, confidence: float = 0.95) -> tuple[float, float] | None:
    """Returns the percentile interval of what was drawn, the measured one left out; None where nothing varies."""
    known = drawn_B[1:][~np.isnan(drawn_B[1:])]
    if known.size < 2:
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)
