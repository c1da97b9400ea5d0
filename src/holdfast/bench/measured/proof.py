"""What the items of a run can prove of what is to be kept: said before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence

from holdfast.bench.measured.prepare import Suite
from holdfast.core.budget import Budget
from holdfast.probes.ask import form_of
from holdfast.stats.power import items_needed, least_provable

FLIPS = 0.04
"""Share of the answers that are supposed to flip, half of them either way: that of docs/budget.md, and of the
simulated cases of docs/studies/verdict-tables.md in which nothing is lost."""


def proof_lines(suites: Sequence[Suite], budget: Budget | None) -> list[str]:
    """Returns how small a loss the items of each suite of answers can prove, and how many prove what is allowed.

    Args:
        suites: What is measured; only answers to what is to be kept count.
        budget: What may be lost; None if nothing is said of it.
    """
    kept = [suite for suite in suites if suite.role == "retained" and "points" in suite.units()]
    counts = {suite.name: sum(form_of(item) != "text" for item in suite.items) for suite in kept}
    if not counts:
        return []
    points = None if budget is None else budget.points
    lines = [
        f"if {100 * FLIPS:g} of 100 answers flip, half of them for the better, independent items show with a chance of"
        " 80%:"
    ]
    lines += [f"  {name}: {_shown(count, points)}" for name, count in counts.items()]
    if points is not None and budget is not None and budget.claim == "mean" and len(counts) > 1:
        alike = len(counts) ** 2 / math.fsum(1 / count for count in counts.values())
        lines.append(f"  the mean of the {len(counts)} suites, which the budget limits: {_loss(alike)}")
    return lines


def _shown(count: int, points: float | None) -> str:
    """Returns what so many items of a suite show, and how many it takes to show what is allowed."""
    said = f"its {count:,} items {_loss(count)}"
    if points is None:
        return said
    return f"{said}; {points:g} points take about {items_needed(points / 100, FLIPS):,} items"


def _loss(items: float) -> str:
    points = 100 * least_provable(items, FLIPS)
    return "no loss at all" if points >= 100 else f"that at most {points:.1f} points are lost"
