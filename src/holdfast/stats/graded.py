"""How much the mean of graded answers changed: scores from 0 to 1 with something between, or means over seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from holdfast.core.errors import HoldfastError
from holdfast.stats.flips import independence, paired, root, tango


@dataclasses.dataclass(frozen=True)
class Graded:
    """A change of the mean of scores from 0 to 1, as one of flips of a size.

    Attributes:
        before: Mean before.
        after: Mean after.
        size: How much an item moves that moves.
        fell: Sum of what items lost.
        rose: Sum of what items gained.
        items: Number of items.
        groups: Number of groups that they are of.
        effective: Number of independent items that would carry as much evidence.
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
        """Returns the degrees of freedom of `statistic`: infinite (a normal) without groups, else groups - 1."""
        return math.inf if self.groups == self.items else max(1.0, self.groups - 1.0)

    def statistic(self, change: float) -> float:
        """Returns Tango's score statistic of as many flips of `size` as make up the moves, for a true change.

        Of a single group 0: it tells nothing. A change beyond `size` is one that not even all items make.
        """
        if self.groups < 2:
            return 0.0
        if abs(change) >= self.size:
            return math.copysign(math.inf, -change)
        scale = self.effective / self.items / self.size
        return tango(self.fell * scale, self.rose * scale, self.effective, change / self.size)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Returns the two-sided interval of the change: all values that `statistic` does not reject."""
        if self.groups < 2:
            return -1.0, 1.0
        far = float(stats.t.ppf(0.5 + confidence / 2, self.degrees))
        low = root(lambda d: self.statistic(d) - far, -self.size, self.change)
        return low, root(lambda d: self.statistic(d) + far, self.change, self.size)


def graded(before: npt.ArrayLike, after: npt.ArrayLike, groups: Sequence[Hashable] | None = None) -> Graded:
    """Returns the change of the mean of graded answers, with evidence that does not vanish where few items move.

        size = (r sum_i d_i^2 + 2) / (r sum_i |d_i| + 2)

    d_i is the move of an item, r the number of groups in which one moved over that of the items that did. The variance
    of moves of all sizes is that of as many flips of the size `sum d^2 / sum |d|`; what was seen of them says little of
    larger ones, hence two more of the largest there can be, which is 1. Scores of 0 and 1 alone make flips, and size 1.
    A paired t interval would be too narrow here: it has no width where nothing moves, and knows nothing of what few
    items lose where all others move a little.

    Args:
        before: Scores before, from 0 to 1, `[n]`.
        after: Of the same items after.
        groups: The group of each item, `[n]`; each item is its own if None.

    Raises:
        HoldfastError: If there is no item, or a score is not from 0 to 1.
        ValueError: If the lengths differ.
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
