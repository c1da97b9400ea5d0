"""The decisions of a guard, computed from its looks alone: numbers in, a standing out, no model involved."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

from holdfast.core.budget import Budget
from holdfast.core.guard import GOES_BACK, OnSpent

SMOOTHING = 0.5
"""Weight of the newest look in the smoothed estimate, which starts at 0."""
RELEASE = 0.5
"""Below this share of the budget the guard lowers a raised penalty; from here to the whole budget the penalty stays."""
RAISE, MOST = 2.0, 64.0
"""Factor by which a look raises the penalty to the base model, and the largest factor in all."""
SLOWER, REWINDS = 0.5, 4
"""Factor on the learning rate after a rewind (a controller sets others), and the number of rewinds; the next one ends
the training."""


AIM, PULLS = 0.8, 5
"""Share of the budget that a model which is pulled back should have lost, and the most looks that it takes."""


@dataclasses.dataclass(frozen=True)
class Look:
    """What a guard measured of the model that would ship.

    Attributes:
        step: Optimizer steps done.
        lost: Loss by unit ("points", "nats"), positive if something is lost; infinite if a score is not finite.
        beyond: Whether a suite certainly exceeds the budget, whatever the mean is.
        learned: Score of the task, higher is better; NaN if nothing measures it.
        share: Share of the change of the weights that the model has; below 1 once the guard has pulled it back.
    """

    step: int
    lost: Mapping[str, float]
    beyond: bool = False
    learned: float = math.nan
    share: float = 1.0


@dataclasses.dataclass(frozen=True)
class Standing:
    """Where a run stands after some looks.

    Attributes:
        used: Share of the budget that the last look found lost.
        smoothed: The same, smoothed over looks; after a rewind, its value at the look that the run went back to.
        spent: Whether the last look found the budget spent.
        ended: Whether the guard ends the training.
        hold: Factor on the recipe's added terms.
        rewinds: Number of times the run went back.
        best: Index of the look with the best learner inside the budget; None if that is the start.
        best_smoothed: The value of `smoothed` at that look.
    """

    used: float = 0.0
    smoothed: float = 0.0
    spent: bool = False
    ended: bool = False
    hold: float = 1.0
    rewinds: int = 0
    best: int | None = None
    best_smoothed: float = 0.0


def used_by(look: Look, budget: Budget) -> float:
    """Returns the share of the budget that a look found lost, in the unit that has lost most; at least 0."""
    return max(0.0, *(look.lost.get(unit, 0.0) / limit for unit, limit in budget.limits.items()))


def standing(looks: Iterable[Look], budget: Budget, on_spent: OnSpent) -> Standing:
    """Returns where a run stands after `looks`, in their order.

        s <- (1 - w) s + w x,   from s = 0

    where x is the share of the budget that a look found lost and w is `SMOOTHING`. The budget is spent when x and s
    are both above 1, or when a suite certainly exceeds it. A single look slightly above the budget does not spend it;
    a look far above it, or several above it, do.

    The best learner has learned most among the looks at which x and s are at most 1. Of two that have learned the
    same, or if nothing measures what is learned, it is the later one.

    A model that was pulled back (`Look.share` below 1) belongs to no course, so that x alone counts for it.
    """
    now, best_learned = Standing(), -math.inf
    for i, look in enumerate(looks):
        used, pulled = used_by(look, budget), look.share < 1
        smoothed = (1 - SMOOTHING) * now.smoothed + SMOOTHING * used if math.isfinite(now.smoothed) else used
        smoothed = used if pulled else smoothed
        spent = look.beyond or (used > 1 and smoothed > 1)
        now = dataclasses.replace(now, used=used, smoothed=smoothed, spent=spent)
        learned = -math.inf if math.isnan(look.learned) else look.learned
        if not look.beyond and max(used, smoothed) <= 1 and learned >= best_learned:
            now, best_learned = dataclasses.replace(now, best=i, best_smoothed=smoothed), learned
        now = now if pulled else _acted(now, on_spent)
    return now


def most_promising(looks: Sequence[Look], started: float, budget: Budget) -> int | None:
    """Returns the index of the look whose model should have learned most once it is pulled back inside the budget.

    It is the largest gain times the share that `pulled` leaves, or that share alone if nothing measures the task; the
    later look of two. A loss that is not finite leaves nothing to pull back, and so does a look at which nothing was
    learned.

    Args:
        looks: The looks, all outside the budget.
        started: Score of the task at the start; NaN if nothing measures it.
        budget: The budget.
    """
    best, most = None, 0.0
    for i, look in enumerate(looks):
        used, gain = used_by(look, budget), look.learned - started
        worth = pulled(1.0, used) * (1.0 if math.isnan(gain) else gain) if math.isfinite(used) else 0.0
        if worth > 0 and worth >= most:
            best, most = i, worth
    return best


def pulled(share: float, used: float) -> float:
    """Returns the next share of the change of the weights to try, after a share that lost too much.

    The loss grows about as the square of the change near the base, where its gradient on old tasks is small, so that
    `share * sqrt(AIM / used)` loses the part AIM of the budget; it is at most nine tenths of the share.

    Args:
        share: The share that was tried.
        used: Share of the budget that it lost, above 1.
    """
    return share * min(0.9, math.sqrt(AIM / max(used, AIM)))


def _acted(now: Standing, on_spent: OnSpent) -> Standing:
    """Returns the standing after the guard has acted on it."""
    if on_spent == "stop":
        return dataclasses.replace(now, ended=now.ended or now.spent)
    if on_spent in GOES_BACK and now.spent:
        rewinds = now.rewinds + 1
        return dataclasses.replace(now, smoothed=now.best_smoothed, rewinds=rewinds, ended=rewinds > REWINDS)
    if on_spent == "hold" and now.spent:
        return dataclasses.replace(now, hold=min(MOST, now.hold * RAISE))
    if on_spent == "hold" and now.smoothed < RELEASE:
        return dataclasses.replace(now, hold=max(1.0, now.hold / RAISE))
    return now
