"""Means of many runs on the same items, and their distribution over other draws of items and seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Suite:
    """The scores of all runs of a comparison on one suite.

    Attributes:
        groups: The group of each item, `[n]`; the items of a group are drawn together.
        weights: Weight of each item, `[n]`: the number of tokens that its score sums over, or 1.
        scores: Score of each item in each run, `[n, C]`, or its difference from the base's score.
    """

    groups: Sequence[Hashable]
    weights: Floats
    scores: Floats


@dataclasses.dataclass(frozen=True)
class Draws:
    """The groups and seeds in each of B repetitions; the first repetition is the measured one.

    In a repetition all runs have the same items and seeds, so that the difficulty of the items cancels in differences
    of runs. Suites that share groups are drawn together.

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
        """Returns the measured repetition and `count` drawn ones; `seed` determines the draws."""
        names = {group: i for i, group in enumerate(dict.fromkeys(g for suite in suites for g in suite.groups))}
        rng = np.random.default_rng(seed)

        def drawn(size: int) -> Floats:
            again = rng.multinomial(size, np.full(size, 1 / size), size=count).astype(np.float64)
            return np.concatenate([np.ones((1, size)), again])

        return cls(drawn(len(names)), drawn(seeds), names)

    def means(self, suite: Suite) -> Floats:
        """Returns the mean score of each run on a suite in each repetition, `[B, C]`; nan if no item is drawn."""
        place = np.array([self.names[group] for group in suite.groups])
        columns, inside = np.unique(place, return_inverse=True)
        sums = np.zeros((len(columns), suite.scores.shape[1]))
        weights = np.zeros(len(columns))
        np.add.at(sums, inside, suite.scores)
        np.add.at(weights, inside, suite.weights)
        drawn = self.items[:, columns]
        with np.errstate(invalid="ignore", divide="ignore"):
            means_BC: Floats = (drawn @ sums) / (drawn @ weights)[:, None]
        return means_BC

    def over_seeds(self, values_BS: Floats) -> Floats:
        """Returns the mean over the drawn seeds in each repetition, `[B]`; it leaves out seeds whose value is nan.

            m + sqrt(S / (S - 1)) (m* - m)

        m is the mean of all S seeds and m* the mean of the drawn ones. The variance of m* is too small by the factor
        (S - 1) / S, which is a half for two seeds.
        """
        known = ~np.isnan(values_BS)
        values, counts = np.where(known, values_BS, 0.0), self.seeds * known
        seeds = known.sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = (self.seeds * values).sum(1) / counts.sum(1)
            mean = values.sum(1) / seeds
            wide = np.sqrt(np.where(seeds > 1, seeds / (seeds - 1), 1.0))
            means_B: Floats = mean + wide * (drawn - mean)
        return means_B


def interval(drawn_B: Floats, confidence: float = 0.95) -> tuple[float, float] | None:
    """Returns the percentile interval of the drawn repetitions, without the measured one; None for fewer than two."""
    known = drawn_B[1:][~np.isnan(drawn_B[1:])]
    if known.size < 2:
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)
