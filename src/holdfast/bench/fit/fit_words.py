"""What a fit says: its cost before it begins, and what came of it, for a reader who knows no method."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from holdfast.bench.fit.fit_record import FitCost, FitRecord
from holdfast.bench.fit.ladder import Ladder
from holdfast.bench.fit.trials import Candidate
from holdfast.bench.fit.unit import Unit
from holdfast.bench.given.fit_spec import FitSpec
from holdfast.bench.machine.progress import format_duration
from holdfast.bench.measured.outcome import LearnedUnit, VerdictMean, VerdictSuite
from holdfast.core.errors import HoldfastError

SHORTEST = 1 / 3
"""Least share of its epochs to which the full run is shortened to fit a cost."""


def announcement(spec: FitSpec, plain: Unit, seconds: float, ladder: Ladder, pilot: float | None) -> Iterator[str]:
    """Yields what a fit will cost at most, before it trains.

    Args:
        spec: The options.
        plain: The unit of the cost.
        seconds: Seconds of a plain run.
        ladder: The rungs of the pilot.
        pilot: What the pilot costs at most, in plain runs; None without one.
    """
    prices = [plain.price(rung.candidate) for rung in ladder.rungs]
    yield (
        f"A plain run is {plain.epochs:g} epochs over {plain.about}, about"
        f" {format_duration(seconds)} of training here. All trainings cost at most {spec.plain_runs():g} of them;"
        f" a full run costs {min(prices):.2f} to {max(prices):.2f}"
        f"{'' if pilot is None else f', and the pilot at most {pilot:.2f}'}. Asking comes on top."
    )
    yield from (f"Left out: {sentence}" for sentence in ladder.left_out)


def check_cost(spec: FitSpec, plain: Unit, candidate: Candidate, left: float, writing: float = 0.0) -> None:
    """Raises `HoldfastError` if what is left of the cost does not suffice for a useful full run.

    Args:
        spec: The options.
        plain: The unit of the cost.
        candidate: The recipe of the full run.
        left: What is left for it, in plain runs.
        writing: What the writing of old examples takes before it.

    Raises:
        HoldfastError: It does not suffice; says what would.
    """
    price = plain.price(candidate)
    if left >= SHORTEST * price:
        return
    missing = spec.plain_runs() + price - left
    why = f"{max(left, 0.0):.2f} plain runs are left, and the full run of {candidate} costs {price:.2f}"
    if writing:
        why = f"the base writes old examples for {writing:.2f} plain runs, unless --memory names some, so that {why}"
    raise HoldfastError(
        f"--cost {spec.plain_runs():g}x does not suffice: {why}; give --cost {math.ceil(10 * missing) / 10:g}x."
    )


def cost_words(cost: FitCost) -> str:
    """Returns what a fit cost, against what it announced."""
    measured = cost.training_seconds / cost.plain_seconds if cost.plain_seconds > 0 else 0.0
    return (
        f"All trainings cost {cost.spent:.2f} plain runs, and at most {cost.allowed:g} were announced; by the clock"
        f" they took {format_duration(cost.training_seconds)}, {measured:.1f} times a plain run."
    )


def sentence_of(record: FitRecord) -> str:
    """Returns what came of a fit: what was learned, what was lost, and what to do if the budget is not met."""
    assert record.verdict is not None
    unit = record.learned.units[0] if record.learned is not None and record.learned.units else None
    mean = max(record.verdict.means, key=lambda mean: _lost(mean) / record.verdict.limits[mean.unit])  # type: ignore[union-attr]
    limit = record.verdict.limits[mean.unit]
    return f"{_learned(record, unit)} {_kept(record, mean, limit)}"


def _learned(record: FitRecord, unit: LearnedUnit | None) -> str:
    if unit is None:
        return f"What {record.base} learned was not measured."
    after = unit.before + unit.gain
    if record.ranking is not None:
        change = f"nDCG@10 on the test queries is {after:.1f} points, and {unit.before:.1f} before"
    elif unit.unit == "points":
        change = f"it answers {after:.0f}% of the test questions right, and {unit.before:.0f}% before"
    else:
        change = (
            f"it reads the test texts at {unit.before - unit.gain:.3f} nats per token, and {unit.before:.3f} before"
        )
    heads = {
        "learned": f"{record.base} learned the task",
        "learned little": f"{record.base} learned little of the task",
        "not learned": f"{record.base} did not learn the task",
    }
    head = heads.get(unit.word, f"{record.base} may have learned the task (too few test items to say)")
    return f"{head}: {change}."


def _kept(record: FitRecord, mean: VerdictMean, limit: float) -> str:
    """Returns a sentence on the loss, and on how to get inside the budget if it is not met."""
    assert record.verdict is not None
    word, unit = record.verdict.word, "points" if mean.unit == "points" else "nats per token"
    digits = 1 if mean.unit == "points" else 3
    unit = "points of nDCG@10" if record.ranking is not None else unit
    lost = f"{max(0.0, _lost(mean)):.{digits}f} {unit}"
    most = "" if mean.most is None else f", at most {max(0.0, mean.most):.{digits}f} with 95% confidence"
    if word == "kept":
        return f"It kept what it knew: the loss is {lost}{most}, and {limit:g} were allowed."
    if word == "forgot":
        alone = _forgot_alone(record, mean)
        return (
            f"It forgot: the loss is {lost}, and {limit:g} were allowed{_but(alone, record)}. This is the best that"
            f" {record.cost.allowed:g} plain runs gave; {_mend(mean, [*alone])}."
        )
    return (
        f"Whether it kept what it knew is open: the loss is {lost}{most}, and {limit:g} were allowed; more"
        f" {'items' if record.ranking is None else 'queries'} (--keep) would decide."
    )


def _forgot_alone(record: FitRecord, mean: VerdictMean) -> dict[str, VerdictSuite]:
    """Returns the suites that forgot although their mean did not."""
    assert record.verdict is not None
    own = record.verdict.suites
    return {} if mean.word == "forgot" else {name: suite for name, suite in own.items() if suite.word == "forgot"}


def _but(alone: Mapping[str, VerdictSuite], record: FitRecord) -> str:
    """Returns a clause on single suites that forgot; empty without any."""
    if not alone:
        return ""
    fell = {change.name: abs(change.change) for change in record.suites}
    each = ", ".join(f"{name} ({fell[name]:.3g})" for name in alone)
    return f" in the mean, but {'these suites' if len(alone) > 1 else 'one suite'} certainly lost more: {each}"


def _mend(mean: VerdictMean, alone: Sequence[str]) -> str:
    """Returns what to do where a budget is not met.

    Args:
        mean: The mean of the suites.
        alone: Names of the suites that forgot although their mean did not. A wider budget is no advice for them, since
            it would allow as much loss everywhere.
    """
    if alone:
        them = "them" if len(alone) > 1 else "it"
        return f"raise --cost, give old examples of {them} with --memory, or leave {them} out of --keep"
    name = "points" if mean.unit == "points" else "nll"
    enough = max(0.0, mean.most if mean.most is not None else _lost(mean))
    return f"allow --budget {name}={enough:.2g}, raise --cost, or give old examples with --memory"


def _lost(mean: VerdictMean) -> float:
    return -mean.change if mean.unit == "points" else mean.change
