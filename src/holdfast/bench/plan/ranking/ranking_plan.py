"""A plan for a reranker: reads the model and its queries, and says how to train."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.bench.given.options import flag_of
from holdfast.bench.given.precision import resolving_precision
from holdfast.bench.given.specs import PlanSpec, RunSpec
from holdfast.bench.given.yaml_files import as_yaml, write_new
from holdfast.bench.machine.files import write_json
from holdfast.bench.machine.progress import Progress
from holdfast.bench.machine.verbosity import quiet_libraries
from holdfast.bench.plan.advice import rows_of
from holdfast.bench.plan.evidence import heading
from holdfast.bench.plan.plan import options_of
from holdfast.bench.plan.ranking.ranking_facts import (
    lengths_of,
    ranking_data_row,
    ranking_kept_row,
    ranking_model_row,
)
from holdfast.bench.plan.ranking.ranking_memory import ranking_need_rows
from holdfast.bench.plan.ranking.ranking_record import (
    RankingDataRow,
    RankingKeptRow,
    RankingModelRow,
    RankingPlanRecord,
)
from holdfast.bench.plan.ranking.ranking_rules import RANKING_RULES, Kind, RankingSituation, ranking_recipe
from holdfast.bench.plan.ranking.ranking_timing import time_ranking
from holdfast.bench.plan.record import NeedRow, TimeRow
from holdfast.bench.run.arguments import micro_batch_rows
from holdfast.bench.run.ranking_data import RankingData, read_ranking_data
from holdfast.bench.run.ranking_trainer import cross_encoder
from holdfast.bench.run.rerankers import refuse_without_effect
from holdfast.core.errors import HoldfastError
from holdfast.core.free_memory import free_memory
from holdfast.recipe import parse


@resolving_precision
@quiet_libraries()
def plan_reranker(spec: PlanSpec, console: Console | None = None) -> RankingPlanRecord:
    """Returns the plan: facts, advice and what to run; writes what `out` and `write` name.

    Args:
        spec: The options, with a model and its data.
        console: Console for progress; the terminal by default.

    Raises:
        HoldfastError: For anything that the user can mend; no advice then exists.
    """
    console = console or Console(stderr=True)
    if spec.write is not None and Path(spec.write).expanduser().exists():
        raise HoldfastError(f"{spec.write} exists; choose another file, or delete it.")
    for name in ("forecast", "sizes"):
        if getattr(spec, name):
            raise HoldfastError(f"{flag_of(name)} is for language models; leave it out.")
    run = spec.run()
    refuse_without_effect(run)
    with Progress(console) as progress:
        with progress.phase("reading the collections"):
            data = read_ranking_data(run, parse(run.recipe))
        notes = list(data.notes)
        with progress.phase(f"loading {run.model}"):
            base = cross_encoder(run, notes)
        model = ranking_model_row(run, base)
        lengths = lengths_of(data.lists, base.model.tokenizer)
        with progress.phase("the base ranks a sample of the data"):
            row = ranking_data_row(run, data, lengths, model.reads, base)
        free, where = free_memory()
        memory = _needed(run, base.model, row, model, free)
        kept = ranking_kept_row(data.suites)
        situation = _situation(run, model, row, kept, memory)
        advice, values = rows_of(RANKING_RULES, situation)
        train = {"lr": values["rate"], "epochs": values["epochs"], "batch": values["batch"]}
        recipe = ranking_recipe(situation, tuple(run.memories()), **train)
        plain = f"Train({', '.join(f'{name}={value:g}' for name, value in train.items())})"
        advised = dataclasses.replace(run, recipe=recipe or plain, loss=values["loss"])
        fits = all(need.fits for need in memory if need.recipe == "Train()")
        timed = list(dict.fromkeys([recipe, *([plain] if fits else [])]))
        if recipe and not fits:
            notes.append("Plain training was not timed, because it does not fit into memory.")
        time = tuple(_timed(spec, advised, data, timed, row, progress, notes)) if recipe else ()
    record = RankingPlanRecord(
        model=model,
        data=row,
        kept=kept,
        free=free,
        where=where,
        memory=tuple(memory),
        time=time,
        advice=advice,
        recipe=recipe,
        plain=plain,
        run=as_yaml(options_of(advised)) if recipe else "",
        notes=tuple(dict.fromkeys(notes)),
    )
    _write(spec, record)
    return record


def _needed(run: RunSpec, model: Any, data: RankingDataRow, about: RankingModelRow, free: int) -> list[NeedRow]:
    """Returns the memory of plain training, of the penalty, and of an adapter with the penalty."""
    rows = micro_batch_rows(None, run.batch_size)
    pairs = max(1, round(rows * data.documents))
    return ranking_need_rows(
        model, ["Train()", "BaseKL()", "LoRA() + BaseKL()"], pairs, min(data.longest, about.reads), free
    )


def _situation(
    run: RunSpec, model: RankingModelRow, data: RankingDataRow, kept: RankingKeptRow | None, memory: Sequence[NeedRow]
) -> RankingSituation:
    """Returns the situation, with the chosen kind of recipe."""
    fits = {row.recipe: row.fits for row in memory}
    kinds = [kind for kind, text in (("full", "BaseKL()"), ("adapter", "LoRA() + BaseKL()")) if fits[text]]
    situation = RankingSituation(
        parameters=model.parameters,
        lists=data.lists,
        documents=data.documents,
        comparable=data.comparable / data.lists,
        copies=data.copies / data.lists,
        contradictions=data.contradictions,
        leaked=data.leaked + data.nearly_leaked,
        doubtful=data.doubtful / data.negatives if data.negatives else None,
        first_right=data.first_right,
        cut=data.cut / data.pairs,
        easy=run.easy,
        old=bool(run.memories()),
        judged=0 if kept is None else kept.judged,
        least_points=None if kept is None else kept.least_points,
        points=getattr(run.allowed(), "points", None),
        fits=tuple(kinds),
    )
    head = heading(RANKING_RULES, situation, "recipe")
    kind: Kind = "none" if head is None or head.value is None else head.value(situation)
    return dataclasses.replace(situation, kind=kind)


def _timed(
    spec: PlanSpec,
    run: RunSpec,
    data: RankingData,
    recipes: Sequence[str],
    row: RankingDataRow,
    progress: Progress,
    notes: list[str],
) -> Iterator[TimeRow]:
    """Yields the time of the advised recipe and of plain training, or notes why there is none."""
    if not spec.steps:
        notes.append("No step was timed (--no-steps).")
        return
    for text in recipes:
        with progress.phase(f"timing steps of {text}"):
            yield time_ranking(run, data, text, row.tokens / row.lists)


def _write(spec: PlanSpec, record: RankingPlanRecord) -> None:
    """Writes plan.json and the run, where the options name them."""
    if spec.write is not None:
        if not record.run:
            raise HoldfastError(f"--write {spec.write}: no recipe fits into memory, so there is no run to write.")
        write_new(spec.write, record.run)
    if spec.out:
        write_json(Path(spec.out) / RankingPlanRecord.FILE, record.to_dict())
