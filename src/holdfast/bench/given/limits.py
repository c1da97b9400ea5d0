"""The limits of options: the budget of a verdict, how much of plain training's learning counts, and the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import FLAT

REACH = 0.95
"""Share of what the best plain run learns, at which reports compare methods."""


SEEDS = 2**32
"""Number of seeds: numpy takes those from 0 to below this one."""


def check_seeds(seeds: Sequence[int]) -> None:
    """Raises `HoldfastError` for no seeds, for equal ones, and for one that is out of range."""
    if not seeds or len({*seeds}) < len(seeds) or not 0 <= min(seeds) <= max(seeds) < SEEDS:
        raise HoldfastError(
            f"--seeds {' '.join(map(str, seeds))}: give whole numbers from 0 to below {SEEDS}, each once."
        )


def check_reach(reach: float) -> None:
    """Raises `HoldfastError` for a value that is not a share."""
    if not 0 < reach <= 1:
        raise HoldfastError(f"--reach {reach}: give a share above 0 and at most 1.")


def budget_of(values: Mapping[str, Any]) -> Budget | None:
    """Returns the budget for the verdict on a finished model; None if the user gives none.

    Raises:
        HoldfastError: A key belongs to the guard, which acts only during training, or the budget is out of range.
    """
    for name in values:
        if name in FLAT:
            raise HoldfastError(f"--budget {name}: acts only during training; give points, nll and claim here.")
    return Budget.from_dict(values) if values else None
