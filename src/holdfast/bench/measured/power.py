"""How small a loss the items of a run can prove; said before training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

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
    """Returns the share of answers that is assumed to flip.

    Args:
        parameters: Number of parameters of the model. 0, an unknown size, counts as a large model, so that no item is
            promised to prove more than it does.
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
        mean = f"the mean of the {len(counts)} suites, which the budget limits"
        lines.append(f"  {mean}: {_loss(_equivalent(counts), flips)}")
    return lines


def power_notes(suites: Sequence[Suite], budget: Budget | None, parameters: int) -> list[str]:
    """Returns a sentence if the items can hardly prove the budget even where nothing is lost.

    Args:
        suites: All suites; only retained suites in points count.
        budget: The budget; None without one.
        parameters: Number of parameters of the model, by which answers are assumed to flip; 0 if unknown.
    """
    counts, flips = _counts(suites, budget), flips_of(parameters)
    if budget is None or budget.points is None or not counts:
        return []
    items = float(min(counts.values())) if budget.claim == "every" else _equivalent(counts)
    least = in_unit(least_provable(items, flips))
    times = (least / budget.points) ** 2
    if least <= budget.points:
        return []
    assumed = f"if nothing is lost and {in_unit(flips):g} of 100 answers flip"
    return [
        f"The kept items can prove a loss of at most {least:.1f} points {assumed}, and the budget allows"
        f" {budget.points:g}: the verdict will likely be 'not enough evidence'. Keep about"
        f" {times:.{0 if times >= 10 else 1}f} times as many items for a verdict."
    ]


def _equivalent(counts: Mapping[str, int]) -> float:
    """Returns the number of items of one suite that tell as much as the mean of suites of so many items."""
    return len(counts) ** 2 / math.fsum(1 / count for count in counts.values())


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
