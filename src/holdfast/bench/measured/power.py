"""How small a loss the items of a run can prove; printed before training."""

from __future__ import annotations

import math
from collections.abc import Sequence

from holdfast.bench.measured.guard_split import split_suites
from holdfast.core.budget import Budget
from holdfast.probes.score import for_stats, in_unit
from holdfast.probes.suite import Suite
from holdfast.stats.power import items_needed, least_provable
from holdfast.train.rates import REAL

FLIPS = 0.04
"""Assumed share of answers that flip, half of them either way, of a model below 100 million parameters. In
docs/studies/effect-tables.md, three in four of the runs that lost less than 2 points flipped fewer.
docs/studies/verdict-tables.md has this share where nothing is lost."""
REAL_FLIPS = 0.12
"""The same of a larger model, which is less sure of its answers: docs/studies/real-tables.md, by the same rule."""


def flips_of(parameters: int) -> float:
    """Returns the share of answers that is assumed to flip in a model of so many parameters; 0 if the size is unknown.

    An unknown size counts as a large one, so that no item is promised to prove more than it does.
    """
    return FLIPS if 0 < parameters < REAL else REAL_FLIPS


def power_lines(suites: Sequence[Suite], budget: Budget | None, flips: float) -> list[str]:
    """Returns how small a loss the items of each retained suite can prove, and how many items the budget takes.

    Items that a guard watches do not count, because no verdict judges them.

    Args:
        suites: All suites; only retained suites in points count.
        budget: The budget; None without one.
        flips: The share of answers that is assumed to flip (`flips_of`).
    """
    counts = _counts(suites, budget)
    if not counts:
        return []
    points = None if budget is None else budget.points
    lines = [
        "what independent items can prove with a chance of 80%, if nothing is lost and"
        f" {in_unit(flips):g} of 100 answers flip (half of them to right, half to wrong):"
    ]
    for count in dict.fromkeys(counts.values()):
        same = [name for name, judged in counts.items() if judged == count]
        lines.append(_of_suites(same, count, points, flips))
    if budget is not None and budget.points is not None and budget.claim == "mean" and len(counts) > 1:
        equivalent = len(counts) ** 2 / math.fsum(1 / count for count in counts.values())
        lines.append(f"  the mean of the {len(counts)} suites, which the budget limits: {_loss(equivalent, flips)}")
    return lines


def _counts(suites: Sequence[Suite], budget: Budget | None) -> dict[str, int]:
    """Returns the number of judged answers of each retained suite that has any."""
    split = frozenset[str]() if budget is None else split_suites(suites, budget)
    kept = [suite for suite in suites if suite.role == "retained" and "points" in suite.units()]
    return {suite.name: count for suite in kept if (count := _judged(suite, suite.name in split))}


def _judged(suite: Suite, is_split: bool) -> int:
    """Returns the number of judged answers of a suite: all, or those that no guard watches."""
    return len((suite.side("proof") if is_split else suite).only({"points"}).items)


def _of_suites(names: Sequence[str], count: int, points: float | None, flips: float) -> str:
    """Returns a line on what `count` items can prove, and on how many items prove a loss within `points`."""
    line = f"  {', '.join(names)}: {count:,} items{' each' if len(names) > 1 else ''} prove {_loss(count, flips)}"
    if points is None:
        return line
    return f"{line}; {points:g} points take about {items_needed(for_stats(points), flips):,}"


def _loss(items: float, flips: float) -> str:
    return f"a loss of at most {in_unit(least_provable(items, flips)):.1f} points"
