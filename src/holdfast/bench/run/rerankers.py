"""A run of a reranker: the same folder, record and verdict, with collections in the place of examples and suites."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.bench.given.model_content import model_digest
from holdfast.bench.given.model_files import reranker_or_name
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.files import write_json
from holdfast.bench.machine.progress import Progress
from holdfast.bench.machine.signals import SaveOnSignal
from holdfast.bench.machine.verbosity import is_main_process
from holdfast.bench.measured.guard_split import NoValidationItems
from holdfast.bench.measured.learning import learning_of
from holdfast.bench.measured.measurement import row_of
from holdfast.bench.measured.ranking import rank, ranking_rows
from holdfast.bench.measured.scores import write_scores
from holdfast.bench.measured.symptom_record import rows_of
from holdfast.bench.measured.verdict import verdict
from holdfast.bench.run.cost import Meter
from holdfast.bench.run.documents import document_reranker
from holdfast.bench.run.folder import begin_folder, folder_of
from holdfast.bench.run.proof import Judged
from holdfast.bench.run.ranking_data import RankingData, lists_of, read_ranking_data
from holdfast.bench.run.ranking_trainer import begin_at, build_trainer, cross_encoder, ranking_arguments
from holdfast.bench.run.record import RunRecord, SecondsRow
from holdfast.bench.run.resources import settings_lines, training_settings
from holdfast.bench.run.rewind import learned_before_rewind
from holdfast.bench.run.rows import guard_row, rehearsed, shipped_row
from holdfast.bench.run.saved_model import check_weights, save_model
from holdfast.bench.run.trackers import FOLDER as TRACKERS
from holdfast.bench.run.trackers import delete_checkpoints
from holdfast.bench.run.training import StepLog, train_on
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain
from holdfast.core.precision import computing_in
from holdfast.probes.changes import changes
from holdfast.probes.items import Split
from holdfast.rerank.attach import attach_reranker
from holdfast.rerank.scoring import CrossEncoderReranker
from holdfast.rerank.suite import Ranked, RerankSuite
from holdfast.rerank.symptoms.evidence import evidence_of
from holdfast.rerank.symptoms.names import symptoms_of
from holdfast.train.attach import Attached

OF_TEXT = ("raw", "loss_on", "over_long", "refused", "preference", "packing", "memory_check")
"""Options of a run that concern generated text alone; no estimate of memory precedes the training of a reranker."""


def train_reranker(
    spec: RunSpec,
    recipe: Chain,
    console: Console,
    ending: SaveOnSignal,
    bases: Path | None = None,
    *,
    start: Path | None = None,
    validation: bool = False,
) -> RunRecord:
    """Reads the collections, ranks, trains, ranks again, and writes the folder of the run; the folder is open.

    Args:
        spec: The options.
        recipe: The recipe.
        console: Console for progress and notes.
        ending: Saves a checkpoint when a signal ends the run.
        bases: Folder of the cache of the base's scores, which runs with the same suites share.
        start: Folder of a reranker at whose weights the training begins, while the base stays the model of `spec`;
            nothing is ranked then.
        validation: Whether to rank the validation queries of the watched suites alone, for a trial.

    Raises:
        HoldfastError: For anything that the user can mend.
    """
    refuse_without_effect(spec)
    console.print(repr(recipe), style="bold", markup=False)
    folder, began = folder_of(spec), time.monotonic()
    with Progress(console) as progress, progress.phase("reading the collections"):
        data = read_ranking_data(spec, recipe, measured=start is None)
    arguments = ranking_arguments(spec, recipe, folder / "checkpoints")
    with Progress(console) as progress, progress.phase(f"loading {spec.model}"):
        reranker = cross_encoder(spec, data.notes)
    meter = Meter.begin()
    trainer = build_trainer(spec, reranker.model, data.lists, arguments)
    settings = training_settings(recipe, arguments, len(trainer.train_dataset))
    attach_recipe(spec, recipe, trainer, data)
    console.print(f"{spec.model} learns {spec.data}: {len(data.lists):,} queries with {spec.loss}", markup=False)
    for line in (*settings_lines(settings, more=recipe.active().uses("mix_data")), *data.notes):
        console.print(f"  {line}", style="yellow" if line in data.notes else None, highlight=False, markup=False)
    if is_main_process():
        begin_folder(folder, spec, recipe, settings)
    preparing, asked = meter.end(), _validation(data) if validation else data.suites
    with Progress(console) as progress:
        with computing_in(reranker.model, spec.precision):
            before = ranked_once(reranker, asked, spec, bases, progress)
        log = StepLog(folder / "log.jsonl", progress, rotate="save_total_limit" not in spec.training)
        trainer.add_callback(log)
        trainer.add_callback(ending)
        if start is not None:
            begin_at(reranker, start)
        meter = Meter.begin()
        resumed = train_on(trainer, spec.resume)
        training = meter.end()
        trained = sum(p.numel() for p in reranker.model.parameters() if p.requires_grad)
        check_weights(reranker.model)
        with computing_in(reranker.model, spec.precision):
            after = rank(reranker, asked, "after", progress.measuring)
    if is_main_process():
        save_model(reranker.model, reranker.model.tokenizer, folder / "model")
    judged = asked if validation else _test(asked, data.watched)
    record = _record(spec, trainer, data.watched, judged, before, after)
    record = dataclasses.replace(
        record,
        seconds=SecondsRow(
            training=log.earlier_seconds + training.seconds, all=log.earlier_seconds + time.monotonic() - began
        ),
        cost=None if resumed else preparing.plus(training),
        trained_parameters=trained,
        judged_on="validation items" if validation else None,
    )
    if is_main_process():
        if not validation:
            document_reranker(folder / "model", spec, recipe, record, judged, (before, after))
        write_json(folder / RunRecord.FILE, record.to_dict())
        delete_checkpoints(folder / "checkpoints", folder / TRACKERS)
    return record


def ranked_once(
    reranker: CrossEncoderReranker,
    suites: Sequence[RerankSuite],
    spec: RunSpec,
    bases: Path | None,
    progress: Progress,
) -> list[Ranked]:
    """Returns what the base makes of each suite; from the cache in `bases` if another run has ranked the same pairs."""
    if bases is None:
        return rank(reranker, suites, "before", progress.measuring)
    asked: list[Any] = [spec.max_length, spec.precision, model_digest(reranker_or_name(spec.model))]
    asked += [[suite.name, Judged.of_queries(suite).questions] for suite in suites]
    path = bases / f"rerank-{hashlib.blake2b(json.dumps(asked).encode(), digest_size=8).hexdigest()}.json"
    if path.exists():
        raw = json.loads(path.read_text(encoding="utf-8"))
        return [suite.ranked(raw[suite.name]) for suite in suites]
    ranked = rank(reranker, suites, "before", progress.measuring)
    if is_main_process():
        write_json(path, {suite.name: of.raw for suite, of in zip(suites, ranked, strict=True)})
    return ranked


def refuse_without_effect(spec: RunSpec) -> None:
    """Raises `HoldfastError` for an option of generated text, or of a check that no run of a reranker makes."""
    fields = {field.name: field.default for field in dataclasses.fields(spec)}
    for name in OF_TEXT:
        if getattr(spec, name) != fields[name]:
            raise HoldfastError(f"--{name.replace('_', '-')} has no effect on rerankers; leave it out.")


def attach_recipe(spec: RunSpec, recipe: Chain, trainer: Any, data: RankingData) -> None:
    """Attaches the recipe, and the guard if the budget limits a suite with queries on both sides; notes which it is."""
    kept, learn = ([s for s in data.suites if s.name in data.watched and s.role == r] for r in ("retained", "learned"))
    watching: dict[str, Any] = {}
    if kept:
        watching = {"budget": spec.allowed(), "keep": kept, "learn": learn or None, "guard": spec.guard()}
    if spec.allowed() is not None:
        data.notes.append(_watches(data, kept))
    options: dict[str, Any] = {"lists": lists_of(spec), "batch_tokens": spec.eval_batch_tokens}
    attach_reranker(trainer, recipe, memories=data.memories, **options, **watching)
    if trainer.holdfast_guard is not None:
        trainer.holdfast_guard.flags = True


def _watches(data: RankingData, kept: Sequence[RerankSuite]) -> str:
    """Returns a sentence on what the guard of a run watches."""
    if not kept:
        return (
            "No guard watches the training: no suite to keep has queries for it and for the verdict. The verdict comes"
            " at the end."
        )
    splits = [item.split for suite in kept for item in suite.items()]
    others = [suite.name for suite in data.suites if suite.role == "retained" and suite.name not in data.watched]
    rest = f" It does not watch {', '.join(others)}, whose queries are all on one side." if others else ""
    return (
        f"The guard watches {splits.count('watch'):,} of the {len(splits):,} queries to keep during training; the"
        f" verdict is on the others.{rest}"
    )


def _validation(data: RankingData) -> list[RerankSuite]:
    """Returns the validation queries of the watched suites.

    Raises:
        NoValidationItems: No suite to keep, or none that measures learning, is watched.
    """
    sides = [_of_side(suite, "watch") for suite in data.suites if suite.name in data.watched]
    for role, flag in (("retained", "--keep"), ("learned", "--test")):
        if not any(suite.role == role for suite in sides):
            raise NoValidationItems(
                f"No collection of {flag} has both validation queries and test queries; give it more (a few dozen)."
            )
    return sides


def _test(suites: Sequence[RerankSuite], watched: frozenset[str]) -> list[RerankSuite]:
    """Returns the suites, those that are watched with their test queries alone."""
    return [_of_side(suite, "proof") if suite.name in watched else suite for suite in suites]


def _record(
    spec: RunSpec,
    trainer: Attached,
    watched: frozenset[str],
    judged: Sequence[RerankSuite],
    before: Sequence[Ranked],
    after: Sequence[Ranked],
) -> RunRecord:
    """Writes the scores, and returns the record; its times and costs are filled in by the caller.

    Args:
        spec: The options.
        trainer: The trainer.
        watched: Names of the suites with a side that the guard watches.
        judged: What is judged of each suite.
        before: What the base made of each whole suite.
        after: What the trained model made of it.
    """
    scores = [list(itertools.chain.from_iterable(ranked.scores for ranked in side)) for side in (before, after)]
    if is_main_process():
        folder = folder_of(spec)
        write_scores(folder / "scores.jsonl", folder.name, {"before": scores[0], "after": scores[1]})
    sides = [[_part(suite, whole) for suite, whole in zip(judged, side, strict=True)] for side in (before, after)]
    of_judged = [list(itertools.chain.from_iterable(ranked.scores for ranked in side)) for side in sides]
    suite_changes, model = changes(*of_judged), trainer.model
    guard, budget = guard_row(trainer, watched), spec.allowed()
    return RunRecord(
        suites=tuple(map(row_of, suite_changes)),
        learned=learning_of(suite_changes, learned_before_rewind(guard, scores[0])),
        verdict=None if budget is None else verdict(suite_changes, budget),
        symptoms=rows_of(symptoms_of(evidence_of(judged, *sides))),
        guard=guard,
        seconds=SecondsRow(training=0.0, all=0.0),
        memories=rehearsed(trainer),
        shipped=shipped_row(trainer),
        steps=trainer.state.global_step,
        trained_parameters=0,
        parameters=sum(p.numel() for p in model.parameters()),
        ranking=ranking_rows(judged, *sides),
    )


def _of_side(suite: RerankSuite, side: Split) -> RerankSuite:
    return RerankSuite(suite.collection.side(side), suite.role)


def _part(suite: RerankSuite, whole: Ranked) -> Ranked:
    """Returns what was made of a part of a suite."""
    return suite.ranked({query: whole.raw[query] for query in suite.collection.judged})
