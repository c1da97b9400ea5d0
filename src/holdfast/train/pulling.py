"""Pulls a model that lost too much back towards the start, where no look of a guard was inside the budget.

It interpolates between two models (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903), and looks choose the share.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from holdfast.core.budget import Budget
from holdfast.core.guard import OnSpent
from holdfast.train.control import PULLS, Look, Standing, most_promising, pulled, standing, used_by
from holdfast.train.guard_state import GuardState
from holdfast.train.host import Host
from holdfast.train.looks import Asking, rows_of


def remember_promising(host: Host, state: GuardState, looks: Sequence[Look], best: int | None, budget: Budget) -> None:
    """Keeps the trained weights of the last look if they are the most promising so far and no look was inside.

    Args:
        host: The run.
        state: What the guard remembers, which gets them.
        looks: The looks so far.
        best: Index of the best look inside the budget; None without any.
        budget: The budget.
    """
    if best is not None:
        state.promising = None
    elif most_promising(looks, state.started, budget) == len(looks) - 1:
        state.promising, state.promising_look = host.weights(), len(looks) - 1


def pull_back(host: Host, state: GuardState, asking: Asking, budget: Budget, on_spent: OnSpent) -> Standing:
    """Pulls the most promising model back until a look finds it inside the budget, and returns where the run stands.

    Each look is added to those of the guard. A look that fails ends the pulling.
    """
    now = standing(rows_of(state.looks), budget, on_spent)
    if state.promising is None or state.best is None:
        return now
    share, used = 1.0, used_by(rows_of(state.looks)[state.promising_look], budget)
    for _ in range(PULLS):
        share = pulled(share, used)
        host.pull_back(state.best.weights, state.promising, share)
        row = asking.look(host.step, state.before, share)
        if row is None:
            break
        state.looks = torch.cat([state.looks, row[None]])
        now = standing(rows_of(state.looks), budget, on_spent)
        if now.best is not None:
            break
        used = max(1.0, now.used)
    return now
