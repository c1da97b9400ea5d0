"""A change in the mean over several seeds, with an interval that takes the seeds as drawn and not as given."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from scipy import stats

from holdfast.stats.pooled import reach
from holdfast.stats.verdict import Evidence


@dataclasses.dataclass(frozen=True)
class Seeded:
    """The mean over seeds of a change, as evidence on the recipe and not on the runs that were made of it.

    Attributes:
        part: The change of the items' mean scores over the seeds, which takes the seeds as fixed.
        seeds: The change with each seed.
        shared: Share of the variance of `part` that all seeds have in common, from 0 to 1: what comes of the items that
            were drawn. The rest differs from seed to seed, and so is in their spread already.
    """

    part: Evidence
    seeds: tuple[float, ...]
    shared: float

    @property
    def before(self) -> float:
        """Returns the mean before, which no seed changes."""
        before: float = getattr(self.part, "before", math.nan)
        return before

    @property
    def after(self) -> float:
        """Returns the mean after, over the seeds."""
        return self.before + self.change

    @property
    def groups(self) -> int:
        """Returns the number of groups that the items are of."""
        groups: int = getattr(self.part, "groups", 2)
        return groups

    @property
    def change(self) -> float:
        """Returns the mean of the seeds' changes."""
        return self.part.change

    @property
    def degrees(self) -> float:
        """Returns infinity: `statistic` is given as a normal."""
        return math.inf

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Returns the two-sided interval of the change with other seeds and other items (MOVER).

            low = m - sqrt(t(S - 1)^2 s^2 / S + h (m - l)^2),    high = m + sqrt(t(S - 1)^2 s^2 / S + h (u - m)^2)

        `s` is the standard deviation between the S seeds, `l` and `u` the ends over the items, and `h` the share that
        seeds have in common. Each part has its own quantile: of two seeds t is 12.7 (6.3 for a one-sided bound), of
        three 4.3 and of five 2.8, so that two seeds rarely settle anything.

        Reference:
            G. Y. Zou and Allan Donner, "Construction of confidence limits about effect measures: a general approach",
            Statistics in Medicine 27, 2008.
        """
        count = len(self.seeds)
        spread = float(np.std(self.seeds, ddof=1)) / math.sqrt(count)
        far = float(stats.t.ppf(0.5 + confidence / 2, count - 1)) * spread if spread else 0.0
        low, high = self.part.interval(confidence)
        down, up = (math.hypot(far, math.sqrt(self.shared) * half) for half in (self.change - low, high - self.change))
        return self.change - down, self.change + up

    def statistic(self, change: float) -> float:
        """Returns the normal deviate whose one-sided bound is `change`; positive where the observed mean is above."""
        return reach(self, change)


def seeded(part: Evidence, seeds: Sequence[float], shifts: Sequence[Mapping[Hashable, float]]) -> Evidence:
    """Returns a change in the mean over seeds; with a single seed, the evidence on that run as it is.

        h = 1 - v / V,    V = sum_g (mean_s e_gs)^2,    v = sum_g sum_s (e_gs - mean_s e_gs)^2 / (S (S - 1))

    Args:
        part: The change of the items' mean scores over the seeds.
        seeds: The change with each seed, `[S]`.
        shifts: Of each seed, by group, the sum of the items' differences from its change, over their number (`e_gs`).

    Raises:
        ValueError: If there is no seed, or as many shifts are not given.
    """
    if not seeds or len(shifts) != len(seeds):
        raise ValueError("give at least one seed, and the shifts of each")
    if len(seeds) == 1:
        return part
    groups = dict.fromkeys(group for own in shifts for group in own)
    shifts_SG = np.array([[own.get(group, 0.0) for group in groups] for own in shifts])
    whole = float((shifts_SG.mean(0) ** 2).sum())
    own = float(shifts_SG.var(0, ddof=1).sum()) / len(seeds)
    # Where no item differs from its seed, what is left of the shifts is rounding.
    shared = min(1.0, max(0.0, 1 - own / whole)) if whole > 1e-24 else 1.0
    return Seeded(part, tuple(seeds), shared)
