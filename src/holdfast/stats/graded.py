"""The change of the mean of graded answers: scores between 0 and 1, such as partial credit or means over seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from holdfast.core.errors import HoldfastError
from holdfast.stats.flips import independence, paired, root, tango, tango_variance


@dataclasses.dataclass(frozen=True)
class Graded:
    """The change of a mean of scores from 0 to 1, modelled as flips of one size.

    Attributes:
        before: Mean before.
        after: Mean after.
        size: Size of a flip: by how much an item moves, if it moves.
        fell: Sum of the losses of single items.
        rose: Sum of the gains of single items.
        items: Number of items.
        groups: Number of groups.
        effective: Number of independent items with the same evidence.
    """

    before: float
    after: float
    size: float
    fell: float
    rose: float
    items: int
    groups: int
    effective: float

    @property
    def change(self) -> float:
        """Returns `after - before`."""
        return self.after - self.before

    @property
    def degrees(self) -> float:
        """Returns the degrees of freedom of `statistic`: infinity if each item is a group, else groups - 1."""
        return math.inf if self.groups == self.items else max(1.0, self.groups - 1.0)

    def statistic(self, change: float) -> float:
        """Returns Tango's score statistic for a true change, with the number of flips of `size` that sum to the moves.

        A single group gives 0, because it is no evidence. A change beyond `size` gives infinity: even flips of all
        items would not reach it.
        """
        if self.groups < 2:
            return 0.0
        if abs(change) >= self.size:
            return math.copysign(math.inf, -change)
        scale = self.effective / self.items / self.size
        return tango(self.fell * scale, self.rose * scale, self.effective, change / self.size)

    @property
    def unseen(self) -> float:
        """Returns the variance that a loss of 1 adds as long as it flips few items."""
        return self.size / self.effective

    def variance(self, change: float) -> float:
        """Returns the variance of the observed change if the true change is `change`; infinity for a single group."""
        if self.groups < 2:
            return math.inf
        scale, flips = self.effective / self.items / self.size, max(-1.0, min(1.0, change / self.size))
        return self.size**2 * tango_variance(self.fell * scale, self.rose * scale, self.effective, flips)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Returns the two-sided interval of the change: all values that `statistic` does not reject."""
        if self.groups < 2:
            return -1.0, 1.0
        far = float(stats.t.ppf(0.5 + confidence / 2, self.degrees))
        low = root(lambda d: self.statistic(d) - far, -self.size, self.change)
        return low, root(lambda d: self.statistic(d) + far, self.change, self.size)


def graded(before: npt.ArrayLike, after: npt.ArrayLike, groups: Sequence[Hashable] | None = None) -> Graded:
    """Returns the change of the mean of graded answers; its interval keeps a width even if few items move.

        size = (r sum_i d_i^2 + 2) / (r sum_i |d_i| + 2)

    d_i is the move of an item; r is the number of groups in which an item moved, divided by the number of items that
    moved. Moves of all sizes have the variance of flips of the size `sum d^2 / sum |d|`. The observed moves tell little
    about larger ones, so the formula adds two moves of the largest possible size, 1. If all scores are 0 or 1, the
    moves are flips of size 1. A paired t interval would be too narrow here: it has no width if nothing moves, and it
    misses the large losses of few items if all others move a little.

    Args:
        before: Scores before, from 0 to 1, `[n]`.
        after: Scores of the same items after, `[n]`.
        groups: The group of each item, `[n]`; by default each item is a group.

    Raises:
        HoldfastError: There is no item, or a score is not from 0 to 1.
        ValueError: The lengths differ.
    """
    first, last = paired(before, after, groups)
    if not ((first >= 0).all() and (first <= 1).all() and (last >= 0).all() and (last <= 1).all()):
        raise HoldfastError("Every score must be from 0 to 1; compare other scores by their means.")
    moved = last - first
    independent = independence(moved, groups)
    share = independent.moved / max(1, int(np.count_nonzero(moved)))
    return Graded(
        before=float(first.mean()),
        after=float(last.mean()),
        size=(share * float(moved @ moved) + 2) / (share * float(np.abs(moved).sum()) + 2),
        fell=float(-moved[moved < 0].sum()),
        rose=float(moved[moved > 0].sum()),
        items=first.size,
        groups=independent.groups,
        effective=independent.effective,
    )
