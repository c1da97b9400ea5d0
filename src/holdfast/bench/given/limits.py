"""The limits that options give: the budget of a verdict, and how much of plain training's learning counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import FLAT

REACH = 0.95
"""Share of what the best plain run learns, at which reports compare methods."""


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
