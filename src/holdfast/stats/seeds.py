"""The mean change over several seeds, with an interval for other seeds and other items."""

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
    """The mean change over seeds, as evidence on the recipe rather than on its runs.

    Attributes:
        part: The change of the items' mean scores over the seeds; it treats the seeds as fixed.
        seeds: The change with each seed.
        shared: Share of the variance of `part` that all seeds have in common, from 0 to 1; it comes from the draw of
            the items. The rest differs between seeds, so their spread contains it already.
    """

    part: Evidence
    seeds: tuple[float, ...]
    shared: float

    @property
    def before(self) -> float:
        """Returns the mean before, which does not depend on the seed."""
        before: float = getattr(self.part, "before", math.nan)
        return before

    @property
    def after(self) -> float:
        """Returns the mean after, averaged over the seeds."""
        return self.before + self.change

    @property
    def groups(self) -> int:
        """Returns the number of groups of the items."""
        groups: int = getattr(self.part, "groups", 2)
        return groups

    @property
    def change(self) -> float:
        """Returns the mean of the seeds' changes."""
        return self.part.change

    @property
    def degrees(self) -> float:
        """Returns infinity: `statistic` is a normal deviate."""
        return math.inf

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Returns the two-sided interval of the change with other seeds and other items (MOVER).

            low = m - sqrt(t(S - 1)^2 s^2 / S + h (m - l)^2),    high = m + sqrt(t(S - 1)^2 s^2 / S + h (u - m)^2)

        `s` is the standard deviation between the S seeds, `l` and `u` are the ends of the interval over the items, and
        `h` is the shared part of the variance. Each term has its own quantile: t is 12.7 for two seeds (6.3 for a
        one-sided bound), 4.3 for three and 2.8 for five, so two seeds rarely settle anything.

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
        """Returns the normal deviate whose one-sided bound is `change`; positive if the observed mean is larger."""
        return reach(self, change)


def seeded(part: Evidence, seeds: Sequence[float], shifts: Sequence[Mapping[Hashable, float]]) -> Evidence:
    """Returns the mean change over seeds; for a single seed, the evidence on its run.

        h = 1 - v / V,    V = sum_g (mean_s e_gs)^2,    v = sum_g sum_s (e_gs - mean_s e_gs)^2 / (S (S - 1))

    Args:
        part: The change of the items' mean scores over the seeds.
        seeds: The change with each seed, `[S]`.
        shifts: For each seed, by group: the sum of the differences of the group's items from the seed's change, divided
            by the number of items (`e_gs`).

    Raises:
        ValueError: There is no seed, or the number of shifts is not that of the seeds.
    """
    if not seeds or len(shifts) != len(seeds):
        raise ValueError("Give at least one seed, and the shifts of each.")
    if len(seeds) == 1:
        return part
    groups = dict.fromkeys(group for by_group in shifts for group in by_group)
    shifts_SG = np.array([[by_group.get(group, 0.0) for group in groups] for by_group in shifts])
    whole = float((shifts_SG.mean(0) ** 2).sum())
    between = float(shifts_SG.var(0, ddof=1).sum()) / len(seeds)
    # If no item differs from its seed's change, the shifts are rounding errors alone.
    shared = min(1.0, max(0.0, 1 - between / whole)) if whole > 1e-24 else 1.0
    return Seeded(part, tuple(seeds), shared)
