"""What a guard decides from what it has seen: numbers in, a standing out, and no model in sight."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping

from holdfast.core.budget import Budget
from holdfast.core.guard import OnSpent

SMOOTHING = 0.5
"""Weight of the newest look in the smoothed estimate, which starts at nothing lost."""
RELEASE = 0.5
"""Share of the budget below which a leash that was raised is let out again: between this and the budget it stays."""
RAISE, MOST = 2.0, 64.0
"""Factor by which the leash is raised at a look, and the most it is raised to."""
SLOWER, REWINDS = 0.5, 4
"""Factor on the learning rate after a rewind, and how many there are before training ends."""


@dataclasses.dataclass(frozen=True)
class Look:
    """What a guard saw of the model that would ship.

    Attributes:
        step: Optimizer steps done.
        lost: Loss by unit ("points", "nats"), positive where something is lost; infinite where it is no number.
        beyond: Whether some suite is beyond the budget for certain, whatever the mean is.
        learned: How much is learned, more is better; NaN if nothing shows it.
    """

    step: int
    lost: Mapping[str, float]
    beyond: bool = False
    learned: float = math.nan


@dataclasses.dataclass(frozen=True)
class Standing:
    """Where a run stands after some looks.

    Attributes:
        used: Share of the budget that was lost at the last look.
        smoothed: The same, smoothed over looks; after a rewind, what it was where the run went back to.
        spent: Whether the last look found the budget spent.
        ended: Whether training is to end.
        hold: Factor on the recipe's added terms.
        rewinds: How often the run went back.
        best: Place of the look that saw the best learner inside the budget; None if that is the start.
        best_smoothed: What `smoothed` was there.
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
    """Returns the share of the budget that a look found lost, of the unit that is worst off; at least 0."""
    return max(0.0, *(look.lost.get(unit, 0.0) / limit for unit, limit in budget.limits.items()))


def standing(looks: Iterable[Look], budget: Budget, on_spent: OnSpent) -> Standing:
    """Returns where a run stands after `looks`, in their order.

    The smoothed estimate is s <- (1 - w) s + w x from s = 0, with x the share of the budget that is used. The budget
    is spent when both are above 1, or when a suite is beyond it for certain. What was seen once in passing does not
    spend it; what is far above, or stays above, does.

    The best learner is the one of all looks at which x and s are at most 1 that has learned most; the later of two
    that have learned the same, or where nothing shows what is learned.
    """
    now, best_learned = Standing(), -math.inf
    for i, look in enumerate(looks):
        used = used_by(look, budget)
        smoothed = (1 - SMOOTHING) * now.smoothed + SMOOTHING * used if math.isfinite(now.smoothed) else used
        spent = look.beyond or (used > 1 and smoothed > 1)
        now = dataclasses.replace(now, used=used, smoothed=smoothed, spent=spent)
        learned = -math.inf if math.isnan(look.learned) else look.learned
        if not look.beyond and max(used, smoothed) <= 1 and learned >= best_learned:
            now, best_learned = dataclasses.replace(now, best=i, best_smoothed=smoothed), learned
        now = _acted(now, on_spent)
    return now


def _acted(now: Standing, on_spent: OnSpent) -> Standing:
    """Returns the standing after what the guard does when the budget is spent."""
    if on_spent == "stop":
        return dataclasses.replace(now, ended=now.ended or now.spent)
    if on_spent == "rewind" and now.spent:
        rewinds = now.rewinds + 1
        return dataclasses.replace(now, smoothed=now.best_smoothed, rewinds=rewinds, ended=rewinds > REWINDS)
    if on_spent == "hold" and now.spent:
        return dataclasses.replace(now, hold=min(MOST, now.hold * RAISE))
    if on_spent == "hold" and now.smoothed < RELEASE:
        return dataclasses.replace(now, hold=max(1.0, now.hold / RAISE))
    return now
