"""The change of a share of right answers between two models on the same items: Tango's score statistic, by group."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from holdfast.core.errors import HoldfastError


@dataclasses.dataclass(frozen=True)
class Flips:
    """Counts of items by their answers before and after.

    Attributes:
        right: Number of items right before and after.
        lost: Number of items right before and wrong after.
        gained: Number of items wrong before and right after.
        items: Number of items.
        groups: Number of groups.
        effective: Number of independent items with the same evidence; equals `items` if each item is a group.
    """

    right: int
    lost: int
    gained: int
    items: int
    groups: int
    effective: float

    @property
    def before(self) -> float:
        """Returns the share right before."""
        return (self.right + self.lost) / self.items

    @property
    def after(self) -> float:
        """Returns the share right after."""
        return (self.right + self.gained) / self.items

    @property
    def change(self) -> float:
        """Returns `after - before`."""
        return (self.gained - self.lost) / self.items

    @property
    def degrees(self) -> float:
        """Returns the degrees of freedom of `statistic`: infinity if each item is a group, else groups - 1."""
        return math.inf if self.groups == self.items else max(1.0, self.groups - 1.0)

    def statistic(self, change: float) -> float:
        """Returns Tango's score statistic for a true change of `change`; positive if the observed change is larger.

        A single group gives 0, because it is no evidence.
        """
        if self.groups < 2:
            return 0.0
        scale = self.effective / self.items
        return tango(self.lost * scale, self.gained * scale, self.effective, change)

    @property
    def unseen(self) -> float:
        """Returns the variance that a loss of 1 adds as long as it flips few items."""
        return 1 / self.effective

    def variance(self, change: float) -> float:
        """Returns the variance of the observed change if the true change is `change`; infinity for a single group."""
        if self.groups < 2:
            return math.inf
        scale = self.effective / self.items
        return tango_variance(self.lost * scale, self.gained * scale, self.effective, change)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Returns the two-sided interval of the change: all values that `statistic` does not reject.

        Its width is positive even if no item flips, and it stays within [-1, 1].
        """
        if self.groups < 2:
            return -1.0, 1.0
        far = float(stats.t.ppf(0.5 + confidence / 2, self.degrees))
        low = root(lambda d: self.statistic(d) - far, -1.0, self.change)
        return low, root(lambda d: self.statistic(d) + far, self.change, 1.0)

    def mcnemar(self) -> float:
        """Returns the exact two-sided p-value of no change; it assumes independent items.

        Reference:
            Quinn McNemar, "Note on the sampling error of the difference between correlated proportions", 1947.
        """
        flipped = self.lost + self.gained
        return float(stats.binomtest(self.lost, flipped, 0.5).pvalue) if flipped else 1.0


def flips(before: npt.ArrayLike, after: npt.ArrayLike, groups: Sequence[Hashable] | None = None) -> Flips:
    """Returns the counts of items by their answers before and after, and the effective number of independent items.

        effective = n / D,    D = (k D' + 2 D1) / (k + 2),    D1 = sum_g n_g^2 / n
        D' = max(1, G / (G - 1) sum_g (sum_{i in g} (d_i - mean d))^2 / sum_i (d_i - mean d)^2)

    `D'` is the design effect that the flips show; the k groups in which an item flipped tell it. `D1` is the largest
    possible one, that of items which only flip together. Few flips show little of the design effect, so `D` is a mean
    of the two; if nothing flips, every group counts about as a single item. In simulations, 95% intervals contain the
    truth 94 to 100% of the time; one-sided bounds miss it 0 to 8% of the time, most if few groups fall as a whole.

    Args:
        before: Whether each item was right before, 0 or 1, `[n]`.
        after: Whether the same items were right after, in the same order, `[n]`.
        groups: The group of each item, `[n]`; by default each item is a group.

    Raises:
        HoldfastError: There is no item, or a value is neither 0 nor 1.
        ValueError: The lengths differ.

    Reference:
        Leslie Kish, "Survey Sampling", 1965, section 8.2 (design effect).
    """
    first, last = paired(before, after, groups)
    if not (np.isin(first, (0.0, 1.0)).all() and np.isin(last, (0.0, 1.0)).all()):
        raise HoldfastError("Every item must be 1 (right) or 0 (wrong); compare other scores by their means.")
    moved = last - first
    independent = independence(moved, groups)
    return Flips(
        right=int((first * last).sum()),
        lost=int((moved < 0).sum()),
        gained=int((moved > 0).sum()),
        items=first.size,
        groups=independent.groups,
        effective=independent.effective,
    )


def paired(
    before: npt.ArrayLike, after: npt.ArrayLike, groups: Sequence[Hashable] | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns the scores before and after as vectors `[n]`.

    Raises:
        HoldfastError: There is no item.
        ValueError: The lengths differ.
    """
    first, last = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.ndim != 1 or first.shape != last.shape or (groups is not None and len(groups) != len(first)):
        raise ValueError(f"before {first.shape}, after {last.shape}: give vectors and groups of one length.")
    if first.size == 0:
        raise HoldfastError("There is no item to compare; give at least one.")
    return first, last


@dataclasses.dataclass(frozen=True)
class Independence:
    """How independent the items of a suite are.

    Attributes:
        groups: Number of groups.
        moved: Number of groups in which some item moved.
        effective: Number of independent items with the same evidence.
    """

    groups: int
    moved: int
    effective: float


def independence(moved: npt.NDArray[np.float64], groups: Sequence[Hashable] | None) -> Independence:
    """Returns how independent the moves `[n]` of the items are, by the design effect of their groups (see `flips`)."""
    n = moved.size
    numbers = {group: i for i, group in enumerate(dict.fromkeys(groups if groups is not None else range(n)))}
    place = np.arange(n) if groups is None else np.array([numbers[group] for group in groups])
    count = len(numbers)
    flipped = int((np.bincount(place, np.abs(moved)) > 0).sum())
    if count == n:
        return Independence(n, flipped, float(n))
    sizes = np.bincount(place)
    shown = most = float((sizes**2).sum()) / n
    centred = moved - moved.mean()
    if count > 1 and (spread := float(centred @ centred)) > 0:
        sums = np.bincount(place, centred)
        shown = max(1.0, count / (count - 1) * float(sums @ sums) / spread)
    return Independence(count, flipped, n * (flipped + 2) / (flipped * shown + 2 * most))


def tango(lost: float, gained: float, items: float, change: float) -> float:
    """Returns Tango's score statistic of paired shares for a true change; positive if the observed change is larger.

        Z(D) = (c - b - n D) / (n sqrt(V(D)))

    Args:
        lost: Number of items right before and wrong after (b); may be fractional.
        gained: Number of items wrong before and right after (c).
        items: Number of all items (n).
        change: The supposed true change (D).

    Reference:
        Toshiro Tango, "Equivalence test and confidence interval for the difference in proportions for the
        paired-sample design", Statistics in Medicine 17, 1998, equations 9 to 12.
    """
    variance = tango_variance(lost, gained, items, change)
    distance = (gained - lost) / items - change
    if variance <= 1e-12 / items:
        return math.copysign(math.inf, distance) if abs(distance) > 1e-9 else 0.0
    return distance / math.sqrt(variance)


def tango_variance(lost: float, gained: float, items: float, change: float) -> float:
    """Returns the variance of the observed change of paired shares if the true change is D.

        V(D) = (2 q + D (1 - D)) / n
        q = (sqrt(B^2 - 4 A C) - B) / (2 A),  A = 2 n,  B = -b - c + (2 n - c + b) D,  C = -b D (1 - D)

    q is the most likely share lost under D. The arguments and the source are those of `tango`.
    """
    n, b, c = items, lost, gained
    first, second, third = 2 * n, -b - c + (2 * n - c + b) * change, -b * change * (1 - change)
    q = (math.sqrt(max(0.0, second * second - 4 * first * third)) - second) / (2 * first)
    return max(0.0, 2 * q + change * (1 - change)) / n


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Returns the zero of a falling function between two ends, or the end that is nearest to a zero outside."""
    if low >= high or function(low) <= 0:
        return low
    if function(high) >= 0:
        return high
    return float(optimize.brentq(function, low, high, xtol=1e-12))
