"""`forecast`: what recipes will learn and lose, from the first thirty steps of each, best first."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from holdfast.bench.forecast.features import drift_by_suite, fall_by_suite, features_of, first_to_go
from holdfast.bench.forecast.fitted import Fit, Interval, committed
from holdfast.bench.forecast.looked import Reader
from holdfast.bench.forecast.short_run import STEPS, ShortRun, TooFewSteps, run_shortly
from holdfast.bench.given.asked import load_asked
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.progress import Progress
from holdfast.bench.machine.verbosity import quiet_libraries
from holdfast.bench.plan.facts import PlanInputs, read_plan_inputs
from holdfast.bench.plan.record import ForecastRecord, ForecastRow, IntervalRow, SuiteDriftRow
from holdfast.bench.run.inputs import memory_paths
from holdfast.core.errors import HoldfastError
from holdfast.probes.score import for_stats, level
from holdfast.probes.suite import Asker, Suite, ask_together
from holdfast.recipe import parse

SHOWN = 3
"""Suites that a row names as the first to go; the record has all."""


def forecast(
    run: RunSpec, recipes: Sequence[str], *, points: float | None = None, console: Console | None = None
) -> list[ForecastRow]:
    """Returns a forecast for each recipe, the best first; it trains each for thirty steps.

    Args:
        run: The run, whose recipe is replaced; it keeps items, and its `test` has items if learning is to be forecast.
        recipes: Recipes as text, each with its own rate and length.
        points: Loss that is allowed, in points; the run's budget if absent.
        console: Console for progress; the terminal by default.

    Raises:
        HoldfastError: As `forecasts` does, or a file of the run cannot be read.
    """
    with Progress(console or Console(stderr=True)) as progress:
        return list(forecasts(read_plan_inputs(run), recipes, progress, points=points).rows)


@quiet_libraries()
def forecasts(
    inputs: PlanInputs,
    recipes: Sequence[str],
    progress: Progress,
    *,
    points: float | None = None,
    plain: str = "",
    fit: Fit | None = None,
    notes: list[str] | None = None,
) -> ForecastRecord:
    """Returns the forecasts of recipes, best first, and what they cost.

    Args:
        inputs: What the plan has read; old examples that recipes name are read here.
        recipes: Recipes as text.
        progress: Progress in the terminal.
        points: Loss that is allowed, in points; the budget of the inputs' run if absent.
        plain: Recipe of `recipes` that the cost is stated in; the first of them by default.
        fit: The fit; the one that comes with the package by default.
        notes: List that receives a note on each recipe whose run has fewer than thirty steps, which then has no
            forecast; without it such a recipe is refused.

    Raises:
        TooFewSteps: The run of a recipe, or of all of them, has fewer than thirty steps.
        HoldfastError: No recipe is given, nothing is kept that counts in points, or a recipe does not work on the
            model.
    """
    began, fit, texts = time.perf_counter(), fit or committed(), list(dict.fromkeys(recipes))
    check_inputs(inputs, texts)
    budget = inputs.run.allowed()
    points = points if points is not None or budget is None else budget.points
    with progress.phase(f"loading {inputs.run.model}"):
        base = load_asked(inputs.run.model)
    right = _right(base, inputs, progress)
    reader = Reader(base, inputs)
    shorts = []
    with tempfile.TemporaryDirectory(prefix="holdfast-forecast-") as folder:
        for text in texts:
            advance = progress.task(f"first steps of {text}", STEPS)
            try:
                shorts.append(run_shortly(inputs, text, reader, Path(folder), advance=advance))
            except TooFewSteps as error:
                if notes is None or (text == texts[-1] and not shorts):
                    raise
                notes.append(f"Not forecast: {error}")
    parameters = sum(weight.numel() for weight in base.parameters())
    unit = next((short for short in shorts if short.recipe == plain), shorts[0])
    seconds = unit.seconds / unit.steps * unit.run_steps
    rows = [row_of(short, fit, right, parameters, seconds) for short in shorts]
    return ForecastRecord(
        rows=tuple(ranked(rows, points)),
        steps=STEPS,
        confidence=fit.confidence,
        points=points,
        plain=unit.recipe,
        plain_seconds=seconds,
        seconds=time.perf_counter() - began,
        cost=(time.perf_counter() - began) / seconds,
        checks=fit.checks,
    )


def check_inputs(inputs: PlanInputs, recipes: Sequence[str]) -> None:
    """Raises `HoldfastError` if there is nothing to forecast, or a recipe is malformed."""
    if not recipes:
        raise HoldfastError("A forecast needs a recipe: give --recipes 'Train(lr=1e-4) + LoRA()'.")
    if not any(suite.items and "points" in suite.units() for suite in inputs.data.suites if suite.role == "retained"):
        raise HoldfastError(
            "A forecast states the loss in points, and nothing that is kept has questions: give --keep general, or a"
            " file of items."
        )
    for text in recipes:
        memory_paths(parse(text), inputs.run)


def _right(base: nn.Module, inputs: PlanInputs, progress: Progress) -> float | None:
    """Returns the percent of right answers of the base on validation questions of the task; None without any."""
    suites = [suite.only({"points"}) for suite in inputs.data.suites if suite.role == "learned"]
    suites = [_validation(suite) for suite in suites if suite.items]
    if not suites:
        return None
    run = inputs.run
    asker = Asker(inputs.tokenizer, run.raw, run.eval_batch_tokens, run.precision)
    with progress.phase("the base answers questions of the task"):
        scores = [score for answers in ask_together(base, suites, asker) for score in answers.scores]
    return level(scores)


def _validation(suite: Suite) -> Suite:
    return suite.side("watch") if len({*suite.splits()}) > 1 else suite


def row_of(short: ShortRun, fit: Fit, right: float | None, parameters: int, plain_seconds: float) -> ForecastRow:
    """Returns the forecast of a short run.

    Args:
        short: The short run.
        fit: The fit.
        right: Percent of right answers of the base on the task; None if there are no questions.
        parameters: Number of parameters of the model.
        plain_seconds: Seconds of a whole plain run.
    """
    features, answers = features_of(short), short.reading.answers
    drift, fall = drift_by_suite(short.reading), fall_by_suite(short.reading)
    left = None if right is None else 1.0 - for_stats(right)
    suites = [
        SuiteDriftRow(
            name=name,
            fall=fall[name],
            drift_nats=drift[name],
            rise_nats=(shift.after - shift.before) / shift.tokens,
        )
        for name in first_to_go(fall, len(fall))
        for shift in (short.reading.suites[name],)
    ]
    return ForecastRow(
        recipe=short.recipe,
        learned=None if left is None else interval_row(fit.forecast("learned", features), left),
        lost=interval_row(fit.forecast("lost", features)),
        worst=interval_row(fit.forecast("worst", features)),
        first_to_go=tuple(suite.name for suite in suites[:SHOWN]),
        suites=tuple(suites),
        drift_nats=short.reading.prompts.kl / max(short.reading.prompts.tokens, 1),
        gain_nats=(answers.before - answers.after) / answers.tokens,
        run_steps=short.run_steps,
        seconds=short.all_seconds,
        cost=short.all_seconds / plain_seconds,
        beyond=tuple(fit.beyond(features, parameters)),
    )


def interval_row(interval: Interval, times: float = 1.0) -> IntervalRow:
    """Returns an interval in points as a row of the record, multiplied by a number."""
    return IntervalRow(**{name: times * value for name, value in dataclasses.asdict(interval).items()})


def ranked(rows: Sequence[ForecastRow], points: float | None) -> list[ForecastRow]:
    """Returns forecasts, best first.

    With a budget, recipes whose forecast loss is inside it come first, by what they learn; the others follow by their
    loss. Without one, the order is that of what is learned less what is lost. Where no question measures learning, the
    fall of the surprise stands in for it inside a budget, and the loss alone decides without one.
    """

    def key(row: ForecastRow) -> tuple[Any, ...]:
        learned = row.gain_nats if row.learned is None else row.learned.value
        if points is None:
            return (row.lost.value - (0.0 if row.learned is None else row.learned.value), row.recipe)
        inside = row.lost.value <= points
        return (not inside, -learned if inside else row.lost.value, row.recipe)

    return sorted(rows, key=key)
