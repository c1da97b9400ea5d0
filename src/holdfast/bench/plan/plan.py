"""`holdfast plan`: reads a model and its data, and says how to train."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from holdfast.bench.given.asked import load_asked
from holdfast.bench.given.model_files import BASE
from holdfast.bench.given.precision import resolving_precision
from holdfast.bench.given.specs import PlanSpec, RunSpec
from holdfast.bench.given.yaml_files import as_yaml, write_new
from holdfast.bench.machine.files import write_json
from holdfast.bench.machine.progress import Progress
from holdfast.bench.machine.verbosity import quiet_libraries
from holdfast.bench.measured.preparation import check_fit
from holdfast.bench.plan.advice import Advice, advise, situation_of
from holdfast.bench.plan.facts import PlanInputs, data_row, kept_examples, kept_row, model_row, read_plan_inputs
from holdfast.bench.plan.reading import read_by_base
from holdfast.bench.plan.recipes import estimated, four_bits, kinds, need_rows, others
from holdfast.bench.plan.record import DataRow, ForecastRecord, KeptRow, PlanRecord, TimeRow
from holdfast.bench.plan.timing import time_recipe
from holdfast.bench.run.estimate import Estimate
from holdfast.core.errors import HoldfastError
from holdfast.core.free_memory import free_memory
from holdfast.core.precision import computing_in

GENERAL = "general"
"""What the advised run keeps if the user names nothing."""


Forecaster = Callable[[PlanInputs, Advice, str, Progress, list[str]], ForecastRecord | None]
"""Returns forecasts from what a plan has read, its advice, its recipe, the progress in the terminal, and a list that
receives notes."""


@resolving_precision
@quiet_libraries()
def plan(spec: PlanSpec, console: Console | None = None, forecaster: Forecaster | None = None) -> PlanRecord:
    """Returns the plan: facts, advice and what to run; writes what `out` and `write` name.

    Args:
        spec: The options, with a model and its data.
        console: Console for progress; the terminal by default.
        forecaster: Makes the forecasts that `forecast` of the options asks for; it lies above this room.

    Raises:
        HoldfastError: For anything that the user can mend; no advice then exists.
    """
    console = console or Console(stderr=True)
    if not spec.model or not spec.data:
        raise HoldfastError("A plan needs a model and its data; holdfast plan --check reads a config.")
    if spec.write is not None and Path(spec.write).expanduser().exists():
        raise HoldfastError(f"{spec.write} exists; choose another file, or delete it.")
    if spec.forecast and forecaster is None:
        raise ValueError("these options ask for forecasts: give a forecaster, or call holdfast.plan")
    notes: list[str] = []
    inputs = read_plan_inputs(spec.run())
    free, where = free_memory()
    plain = estimated(inputs, ["Train()"])["Train()"]
    model = model_row(inputs, plain.parameters)
    texts = kinds(inputs, model.is_adapter)
    estimates = {**estimated(inputs, list(texts.values())), **estimated(inputs, others(model.is_adapter))}
    needed = _needed(texts, estimates)
    data, kept = data_row(inputs), kept_row(inputs)
    with Progress(console) as progress:
        data, kept = _read_by_base(inputs, data, kept, plain, free, progress, notes)
        advice = advise(
            situation_of(
                model,
                data,
                kept,
                old=bool(inputs.memories),
                points=getattr(spec.allowed(), "points", None),
                needed=needed,
                free=free,
                gpu=torch.cuda.is_available(),
                per_rank=_per_rank(estimates),
            )
        )
        recipe = advice.recipe(tuple(inputs.run.memories()))
        time = tuple(_timed(spec, inputs, advice, recipe, progress, notes))
        forecast = None
        if spec.forecast and forecaster is not None:
            forecast = forecaster(inputs, advice, recipe, progress, notes)
    run = _run_of(inputs.run, recipe) if recipe else None
    record = PlanRecord(
        model=model,
        data=data,
        kept=kept,
        free=free,
        where=where,
        memory=tuple(need_rows(estimates, free)),
        time=time,
        advice=advice.rows,
        forecast=forecast,
        recipe=recipe,
        run="" if run is None else as_yaml(options_of(run)),
        notes=(*inputs.notes, *notes),
    )
    _write(spec, record)
    return record


def _needed(texts: Mapping[Any, str], estimates: Mapping[str, Estimate]) -> dict[str, int]:
    """Returns the bytes that each kind of recipe needs, where they are known."""
    needed = {kind: estimates[text].total for kind, text in texts.items() if not estimates[text].quantised}
    adapter = texts.get("adapter")
    if adapter is not None and (small := four_bits(estimates[adapter])) is not None:
        needed["qlora"] = small
    return needed


def _per_rank(estimates: Mapping[str, Estimate]) -> int:
    """Returns the trained numbers that one rank of `LoRA()` adds; 0 for a model that is an adapter."""
    adapter = estimates.get("LoRA()")
    return 0 if adapter is None else adapter.trained // 16


def _read_by_base(
    inputs: PlanInputs,
    data: DataRow,
    kept: KeptRow | None,
    plain: Estimate,
    free: int,
    progress: Progress,
    notes: list[str],
) -> tuple[DataRow, KeptRow | None]:
    """Returns the facts with what the base makes of them, unless its weights do not fit into memory."""
    if plain.parts["weights"] > free and not plain.quantised:
        notes.append(
            "The base read nothing, because its weights do not fit into memory: no surprise, distance or conflicts."
        )
        return data, kept
    with progress.phase(f"loading {inputs.run.model}"):
        model = load_asked(inputs.run.model, notes=notes)
    notes += check_fit(model, [*inputs.data.train, *kept_examples(inputs)], inputs.run)
    with progress.phase("the base reads a sample of the data"), computing_in(model, inputs.run.precision):
        return read_by_base(model, inputs, data, kept)


def _timed(
    spec: PlanSpec, inputs: PlanInputs, advice: Advice, recipe: str, progress: Progress, notes: list[str]
) -> Iterator[TimeRow]:
    """Yields the time of the advised recipe and of plain training, or notes why there is none."""
    if not recipe:
        notes.append("No step was timed, because no recipe fits into memory.")
        return
    if not spec.steps:
        notes.append("No step was timed (--no-steps).")
        return
    rows = []
    for text in (recipe, advice.plain()):
        if not advice.situation.fits(advice.kind):
            notes.append("No step was timed, because the recipe may not fit into memory.")
            return
        with progress.phase(f"timing steps of {text}"):
            rows.append(time_recipe(inputs, text))
    yield from rows


def _run_of(run: RunSpec, recipe: str) -> RunSpec:
    """Returns the advised run; it keeps something, so that its loss is measured."""
    keep = run.keep or (("ground:suites/sample",) if run.model == BASE else (GENERAL,))
    return dataclasses.replace(run, recipe=recipe, keep=keep)


def options_of(run: RunSpec) -> dict[str, Any]:
    """Returns the options of a run that differ from their defaults, as a file for `--config` holds them."""
    values, fields = run.to_dict(), dataclasses.fields(RunSpec)
    ordered = sorted(fields, key=lambda field: field.name not in ("model", "data", "recipe"))
    return {field.name: values[field.name] for field in ordered if not _is_default(field, getattr(run, field.name))}


def _is_default(field: dataclasses.Field[Any], value: Any) -> bool:
    if field.default_factory is not dataclasses.MISSING:
        return bool(value == field.default_factory())
    return bool(value == field.default)


def _write(spec: PlanSpec, record: PlanRecord) -> None:
    """Writes plan.json and the run, where the options name them."""
    if spec.write is not None:
        if not record.run:
            raise HoldfastError(f"--write {spec.write}: no recipe fits into memory, so there is no run to write.")
        write_new(spec.write, record.run)
    if spec.out:
        write_json(Path(spec.out) / PlanRecord.FILE, record.to_dict())
