"""`--recipe auto`: a run with the recipe that a plan advises, and a guard that steers it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from accelerate.utils import broadcast_object_list
from rich.console import Console

from holdfast.bench.given.precision import resolving_precision
from holdfast.bench.given.specs import PlanSpec, RunSpec, TrainingSpec
from holdfast.bench.machine.verbosity import main_process_console
from holdfast.bench.plan.plan import plan
from holdfast.bench.run.arguments import training_arguments
from holdfast.bench.run.folder import folder_of
from holdfast.bench.run.run import RunResult, train
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import AUTO
from holdfast.recipe import parse


@resolving_precision
def train_planned(spec: RunSpec, console: Console | None = None) -> RunResult:
    """Runs `spec` like `holdfast.bench.run.run.train`; a run with the recipe `auto` is planned first.

    Args:
        spec: The options.
        console: Console for progress and notes; the terminal by default.

    Raises:
        HoldfastError: For anything that the user can mend.
    """
    return train(spec, console, recipe=recipe_of(spec, console))


def recipe_of(spec: RunSpec, console: Console | None = None) -> str:
    """Returns the recipe of a run as text; for `auto` that of its folder if it has begun, else the plan's.

    Several processes take the recipe of the first, because free memory may differ between them.

    Args:
        spec: The options.
        console: Console for progress and notes; the terminal by default.

    Raises:
        HoldfastError: For anything that the user can mend; the model is a reranker, or no recipe fits into memory.
    """
    if spec.recipe != AUTO:
        return spec.recipe
    if spec.reranks:
        raise HoldfastError(
            "--recipe auto follows a plan for language models; name the recipe that holdfast plan advises for your"
            " reranker, such as 'Train(lr=2e-5, epochs=1) + BaseKL()'."
        )
    if begun := _begun(spec):
        return begun
    console = main_process_console(console or Console())
    names = {field.name for field in dataclasses.fields(TrainingSpec)} - {"out"}
    record = plan(PlanSpec(**{name: getattr(spec, name) for name in names}, steps=False), console)
    rows = [row for row in record.advice if row.topic == "recipe" and row.followed]
    texts: list[Any] = [record.recipe]
    if training_arguments(spec, parse(record.recipe or "Train()"), folder_of(spec) / "checkpoints").world_size > 1:
        broadcast_object_list(texts)
    if not texts[0]:
        raise HoldfastError(
            f"--recipe auto: {rows[0].advice}." if rows else "--recipe auto: no recipe fits into memory."
        )
    because = f": {rows[0].advice} ({rows[0].evidence}, {rows[0].source})" if rows else ""
    console.print(f"Recipe auto{because}; the guard steers", style="bold", highlight=False, markup=False)
    return str(texts[0])


def _begun(spec: RunSpec) -> str:
    """Returns the recipe that a run's folder holds; empty if it has none. The run itself checks the folder."""
    try:
        text = json.loads((folder_of(spec) / "spec.json").read_text(encoding="utf-8"))["resolved_recipe"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return str(text)
