"""The evidence that other items will give if they change as those did that were asked."""

from __future__ import annotations

import dataclasses
import math

from holdfast.stats.flips import Flips
from holdfast.stats.graded import Graded
from holdfast.stats.paired import Change
from holdfast.stats.pooled import Pooled


@dataclasses.dataclass(frozen=True)
class Foreseen:
    """The change of one suite on other items of it, expected from the items that were asked.

    Attributes:
        seen: The change on the items that were asked.
        ratio: The effective number of those items, divided by that of the others: 0.5 if there are twice as many
            others.
        groups: Number of groups of the others.
    """

    seen: Flips | Graded | Change
    ratio: float
    groups: int

    @property
    def before(self) -> float:
        """Returns the score before."""
        return self.seen.before

    @property
    def after(self) -> float:
        """Returns the score after."""
        return self.seen.after

    @property
    def change(self) -> float:
        """Returns `after - before`."""
        return self.seen.change

    @property
    def degrees(self) -> float:
        """Returns the degrees of freedom of `statistic`: infinity if each item is a group, else groups - 1."""
        return math.inf if math.isinf(self.seen.degrees) else max(1.0, self.groups - 1.0)

    @property
    def unseen(self) -> float:
        """Returns the variance that a loss of 1 adds as long as it flips few items; 0 if the variance is constant."""
        return self.seen.unseen * self.ratio

    def variance(self, change: float) -> float:
        """Returns the variance of the change of the others if the true change is `change`.

        It is that of the items that were asked times `ratio`, and infinity without evidence.
        """
        return self.seen.variance(change) * self.ratio

    def statistic(self, change: float) -> float:
        """Returns the distance of the change above a supposed one, in standard errors; 0 without evidence."""
        return self.seen.statistic(change) / math.sqrt(self.ratio)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Returns the two-sided interval of the change; a single group that was asked foresees nothing."""
        if math.isinf(self.seen.variance(self.seen.change)):
            return self.seen.interval(confidence)
        return Pooled((self,)).interval(confidence)
