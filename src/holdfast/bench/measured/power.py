"""What the items of a run can prove of what is to be kept: said before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence

from holdfast.bench.measured.guard_split import split_suites
from holdfast.core.budget import Budget
from holdfast.probes.score import POINTS
from holdfast.probes.suite import Suite
from holdfast.stats.power import items_needed, least_provable

FLIPS = 0.04
"""Share of the answers that are supposed to flip, half of them either way. Of the runs in docs/studies/effect-tables.md
that lost less than 2 points, three in four flipped fewer. In docs/studies/verdict-tables.md as many flip where nothing
is lost."""


def power_lines(suites: Sequence[Suite], budget: Budget | None) -> list[str]:
    """Returns how small a loss the items of each suite of answers can prove, and how many prove what is allowed.

    Items that a guard watches are judged by no verdict and do not count.

    Args:
        suites: What is measured; only answers to what is to be kept count.
        budget: What may be lost; None if nothing is said of it.
    """
    counts = _counts(suites, budget)
    if not counts:
        return []
    points = None if budget is None else budget.points
    lines = [
        "what independent items can prove with a chance of 80%, if nothing is lost and"
        f" {100 * FLIPS:g} of 100 answers flip (as many for the better as for the worse):"
    ]
    for count in dict.fromkeys(counts.values()):
        lines.append(_of_suites([name for name, own in counts.items() if own == count], count, points))
    if budget is not None and budget.points is not None and budget.claim == "mean" and len(counts) > 1:
        alike = len(counts) ** 2 / math.fsum(1 / count for count in counts.values())
        lines.append(f"  the mean of the {len(counts)} suites, which the budget limits: {_loss(alike)}")
    return lines


def _counts(suites: Sequence[Suite], budget: Budget | None) -> dict[str, int]:
    """Returns how many answers of each suite to be kept are judged, of those that have any."""
    split = frozenset[str]() if budget is None else split_suites(suites, budget)
    kept = [suite for suite in suites if suite.role == "retained" and "points" in suite.units()]
    return {suite.name: count for suite in kept if (count := _judged(suite, suite.name in split))}


def _judged(suite: Suite, is_split: bool) -> int:
    """Returns how many answers of a suite are judged: all, or those that no guard watches."""
    return len((suite.side("proof") if is_split else suite).only({"points"}).items)


def _of_suites(names: Sequence[str], count: int, points: float | None) -> str:
    """Returns what the items of suites with as many can prove, and how many it takes to prove what is allowed."""
    said = f"  {', '.join(names)}: {count:,} items{' each' if len(names) > 1 else ''} prove {_loss(count)}"
    if points is None:
        return said
    return f"{said}; {points:g} points take about {items_needed(points / POINTS, FLIPS):,}"


def _loss(items: float) -> str:
    return f"a loss of at most {POINTS * least_provable(items, FLIPS):.1f} points"
