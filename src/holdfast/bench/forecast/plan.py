"""`holdfast plan` with its forecasts: which recipes it forecasts, with which settings."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from rich.console import Console

from holdfast.bench.compare.plan import with_settings
from holdfast.bench.forecast.forecast import forecasts
from holdfast.bench.forecast.short_run import TooFewSteps
from holdfast.bench.given.recipe_sets import recipes_of
from holdfast.bench.given.specs import PlanSpec
from holdfast.bench.machine.progress import Progress
from holdfast.bench.plan import plan as planning
from holdfast.bench.plan.advice import Advice
from holdfast.bench.plan.facts import PlanInputs
from holdfast.bench.plan.ranking.ranking_plan import plan_reranker
from holdfast.bench.plan.ranking.ranking_record import RankingPlanRecord
from holdfast.bench.plan.recipes import FIT, estimated
from holdfast.bench.plan.record import ForecastRecord, PlanRecord
from holdfast.core.errors import HoldfastError
from holdfast.core.free_memory import free_memory
from holdfast.recipe import parse

ADAPTER_RATE = 10.0
"""Times the rate of all weights, for an adapter (2405.09673)."""
CHEAP = "FreezeBottom() + WSD() + MaskTheTarget()"


def plan(spec: PlanSpec, console: Console | None = None) -> PlanRecord | RankingPlanRecord:
    """Returns the plan of `holdfast.bench.plan.plan.plan`, with forecasts if the options ask for them.

    For a reranker it is that of `holdfast.bench.plan.ranking.ranking_plan.plan_reranker`.

    Raises:
        HoldfastError: For anything that the user can mend.
    """
    if spec.reranks:
        return plan_reranker(spec, console)
    return planning.plan(spec, console, functools.partial(_forecast, spec.recipes) if spec.forecast else None)


def _forecast(
    asked: Sequence[str], inputs: PlanInputs, advice: Advice, recipe: str, progress: Progress, notes: list[str]
) -> ForecastRecord | None:
    """Returns the forecasts of the recipes that fit into memory beside the base and have enough steps.

    Notes say which do not; None if no run has enough steps.

    Raises:
        HoldfastError: No recipe fits into memory, or as `forecasts` raises.
    """
    texts = chosen(asked, advice, recipe, tuple(inputs.run.memories()), notes)
    estimates, (free, _) = estimated(inputs, texts), free_memory()
    fitting = [
        text
        for text in texts
        if estimates[text].quantised or estimates[text].total + 4 * estimates[text].parameters <= FIT * free
    ]
    for text in texts:
        if text not in fitting:
            notes.append(f"{text} was not forecast, because it may not fit into memory beside the base.")
    if not fitting:
        raise HoldfastError(
            f"None of {len(texts)} recipes fits into memory beside the base, so nothing can be forecast: leave out"
            " --forecast, or give --recipes with smaller ones."
        )
    try:
        return forecasts(inputs, fitting, progress, plain=_plain(advice), notes=notes)
    except TooFewSteps as error:  # the plan stands without its forecasts
        notes.append(f"Not forecast: {error}")
        return None


def chosen(asked: Sequence[str], advice: Advice, recipe: str, old: Sequence[str], notes: list[str]) -> list[str]:
    """Returns the recipes to forecast as text, each with its own or else the advised settings, plain training first.

    Args:
        asked: Recipes or sets of them that the user names; the advised recipe and three others if empty.
        advice: The advice.
        recipe: The advised recipe; empty if nothing fits into memory.
        old: Names of old examples.
        notes: List that receives notes.

    Raises:
        HoldfastError: A recipe or a set is unknown or malformed.
    """
    settings = parse(f"Train({', '.join(f'{name}={value:g}' for name, value in _settings(advice).items())})")
    given, more = recipes_of(asked, next(iter(old), None)) if asked else ([parse("LoRA()"), parse(CHEAP)], ())
    notes += more
    if advice.situation.is_adapter and not asked:
        given = []
    texts = [_plain(advice), *([recipe] if recipe and not asked else [])]
    texts += [repr(with_settings(each, settings, ADAPTER_RATE)) for each in given]
    return list(dict.fromkeys(repr(parse(text)) for text in texts))


def _settings(advice: Advice) -> dict[str, float]:
    """Returns the advised settings for a recipe that trains all weights; an adapter's rate is ten times as high."""
    values = advice.values
    times = 1 / ADAPTER_RATE if advice.situation.adapts and not advice.situation.is_adapter else 1.0
    return {"lr": values["rate"] * times, "epochs": values["epochs"], "batch": values["batch"]}


def _plain(advice: Advice) -> str:
    """Returns plain training with the advised settings, in the form that the forecasts name it."""
    return repr(parse(f"Train({', '.join(f'{name}={value:g}' for name, value in _settings(advice).items())})"))
