"""One run: measures, trains, measures again, and writes one folder.

<out>/<name>/spec.json      the options of the run, resolved
             env.json       versions and machine
             log.jsonl      one line per logged step
             scores.jsonl   every score, before and after training
             answers.jsonl  the model's answer to each item, before and after training, if there are items
             trackers/      files of trackers, if the user chose any (--training report_to=...)
             result.json    written last: a folder without it is unfinished
             model/         the trained model, as transformers or PEFT load it, with its card and its certificate
"""

from __future__ import annotations

import dataclasses
import functools
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.files import read_jsonl, write_json, write_jsonl
from holdfast.bench.machine.lines import print_line
from holdfast.bench.machine.progress import Progress
from holdfast.bench.machine.signals import SaveOnSignal
from holdfast.bench.machine.stop_tokens import add_stop_tokens
from holdfast.bench.machine.verbosity import is_main_process, main_process_console, quiet_libraries
from holdfast.bench.measured.answers import line_of, read_said
from holdfast.bench.measured.base_cache import ROWS, cached_answers, questions_digest
from holdfast.bench.measured.calibration import calibration_of
from holdfast.bench.measured.floor import floor_note
from holdfast.bench.measured.guard_split import validation_side, watched_names
from holdfast.bench.measured.learning import learning_of
from holdfast.bench.measured.measurement import asker_of, measure, row_of
from holdfast.bench.measured.power import power_notes
from holdfast.bench.measured.scores import Moment, read_scores, write_scores
from holdfast.bench.measured.thoughts import thought_note
from holdfast.bench.measured.verdict import verdict
from holdfast.bench.run.cost import Meter
from holdfast.bench.run.documents import document
from holdfast.bench.run.folder import (
    already_finished,
    begin_folder,
    folder_of,
    open_folder,
    removing_empty_folders,
)
from holdfast.bench.run.inputs import RunInputs, load_checked_model, read_inputs
from holdfast.bench.run.lock import folder_lock
from holdfast.bench.run.part import Part
from holdfast.bench.run.proof import Judged, judged_side
from holdfast.bench.run.pushing import push
from holdfast.bench.run.record import Cost, RunRecord, SecondsRow
from holdfast.bench.run.rerankers import train_reranker
from holdfast.bench.run.resources import resolved_settings, settings_lines
from holdfast.bench.run.rewind import learned_before_rewind
from holdfast.bench.run.rows import guard_row, rehearsed, shipped_row
from holdfast.bench.run.run_symptoms import run_symptoms
from holdfast.bench.run.saved_model import check_weights, save_model
from holdfast.bench.run.trackers import FOLDER as TRACKERS
from holdfast.bench.run.trackers import OpenTracker, delete_checkpoints, keep_open, log_result
from holdfast.bench.run.training import StepLog, plain_trainer, train_on
from holdfast.bench.run.weight_edits import load_weights, shaping_methods, ship_edited
from holdfast.core import phases
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import AUTO, Guard
from holdfast.core.method import Chain
from holdfast.data.tokenization import ending_ids
from holdfast.probes.changes import changes
from holdfast.probes.score import Answers, proof
from holdfast.probes.suite import Suite
from holdfast.recipe import parse
from holdfast.train.attach import Attached, attach
from holdfast.train.keeping import sharing_base


@dataclasses.dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        folder: Its folder.
        spec: Its options.
        record: Its result, the content of result.json.
    """

    folder: Path
    spec: RunSpec
    record: RunRecord

    @property
    def exit_code(self) -> int:
        """Returns 0 kept, 2 forgot, 3 not enough evidence, 4 kept but nothing learned; 0 without a budget."""
        return self.record.exit_code


def train(
    spec: RunSpec,
    console: Console | None = None,
    *,
    bases: Path | None = None,
    trained: Path | None = None,
    start: Path | None = None,
    recipe: str | None = None,
    part: Part | None = None,
    validation: bool = False,
) -> RunResult:
    """Runs `spec` and returns the result; a finished run is only read.

    Args:
        spec: The options; with `resume`, an interrupted run continues from its last checkpoint.
        console: Console for progress and notes; the terminal by default.
        bases: Folder of the cache of the base's answers, which runs with the same questions share, and of what it says
            of the rows that several runs train on (`holdfast.train.base_cache`).
        trained: Folder of a finished run that differs only in edits of the weights after training; this run then edits
            that model and trains nothing.
        start: Folder of whole weights at which the training begins; the base stays the model of `spec`. A reranker is
            not ranked then: whoever edited it asks what became of it.
        recipe: The recipe that the one of `spec` stands for, if that is `auto` (`holdfast.bench.plan.auto`).
        part: The part of the data that a trial takes; it belongs to the identity of the run.
        validation: Whether to ask the validation items of the watched suites alone, for a trial whose test items nobody
            may read; the record says so.

    Raises:
        HoldfastError: For anything that the user can mend. Nothing half-written stays behind.
    """
    console = main_process_console(console or Console())
    if spec.recipe == AUTO and recipe is None:
        raise HoldfastError("The recipe auto is planned before the run: call holdfast.fine_tune, or name a recipe.")
    methods = parse(recipe or spec.recipe)
    folder = folder_of(spec)
    with folder_lock(folder):
        if open_folder(folder, spec, part):
            print_line(console, already_finished(folder), style="yellow")
            return RunResult(folder, spec, _judged_again(RunRecord.read(folder), folder, spec))
        ending, said = SaveOnSignal(), None if bases is None else bases / ROWS
        with sharing_base(said), removing_empty_folders(folder), quiet_libraries(), ending.handling_signals():
            if spec.reranks:
                if part is not None:
                    raise HoldfastError("A part of a reranker's data is not trained on yet; train on all of it.")
                record = train_reranker(spec, methods, console, ending, bases, start=start, validation=validation)
            else:
                record = _run(spec, methods, console, bases, trained, ending, start, part, validation)
        if is_main_process() and not validation and (address := push(folder / "model", spec.training)) is not None:
            print_line(console, f"Pushed: {address}")
    return RunResult(folder, spec, record)


def _run(
    spec: RunSpec,
    recipe: Chain,
    console: Console,
    bases: Path | None,
    trained: Path | None,
    ending: SaveOnSignal,
    start: Path | None,
    part: Part | None,
    validation: bool,
) -> RunRecord:
    """Opens the run, measures, trains or loads the weights of another run, measures again, and closes the run."""
    run = _open(spec, recipe, console, trained, part, validation)
    with Progress(console) as progress, phases.shown(progress.measuring):
        before = _measured(run, "before", progress, bases)
        for note in filter(None, (floor_note(before.scores), thought_note(before.said, spec.model))):
            console.print(f"  {note}", style="yellow", highlight=False, markup=False)
        if start is not None:
            load_weights(run.trainer.model, start)
        done = _train_or_lend(run, trained, progress, ending)
        after = _measured(run, "after", progress)
    return _close(run, done, before, after)


@dataclasses.dataclass(frozen=True)
class _OpenRun:
    """A run with its recipe attached to a trainer and its folder begun.

    Attributes:
        spec: Its options.
        recipe: Its recipe.
        folder: Its folder.
        inputs: Its inputs.
        trainer: The trainer, with the recipe.
        watched: Names of the suites with a side that the guard watches.
        asked: What is measured: all suites, or the validation items of the watched ones.
        trackers: Trackers of the trainer, which stay open until the run ends.
        began: Value of `time.monotonic()` after the model was loaded, in seconds.
        cost: Cost of the preparation.
    """

    spec: RunSpec
    recipe: Chain
    folder: Path
    inputs: RunInputs
    trainer: Attached
    watched: frozenset[str]
    asked: tuple[Suite, ...]
    trackers: list[OpenTracker]
    began: float
    cost: Cost


def _open(
    spec: RunSpec, recipe: Chain, console: Console, trained: Path | None, part: Part | None, validation: bool
) -> _OpenRun:
    """Reads the inputs, loads the model, attaches the recipe to a trainer, and begins the folder."""
    console.print(repr(recipe), style="bold", markup=False)
    folder, inputs = folder_of(spec), read_inputs(spec, recipe, part=part)
    console.print(f"{spec.model} learns {spec.data}: {len(inputs.data.train):,} examples", markup=False)
    for line in inputs.resources.lines():
        print_line(console, f"  {line}")
    notes = list(inputs.notes)
    examples = [*inputs.data.train, *inputs.data.measured_examples, *inputs.memory_examples]
    model = load_checked_model(spec, examples, console, notes, frozen=inputs.resources.estimate.frozen)
    if not validation:
        notes += power_notes(inputs.data.suites, inputs.budget, inputs.resources.estimate.parameters)
    for note in notes:
        console.print(f"  {note}", style="yellow", highlight=False, markup=False)
    if hasattr(model, "peft_config"):
        model.name_or_path = spec.model  # `diff` looks there for the record of watched items
    trainer = plain_trainer(model, inputs.arguments, inputs.data.train, inputs.tokenizer, recipe)
    watched, kept, learn = _watched(inputs, console, guard_of(spec).on_spent == "steer")
    began, meter = time.monotonic(), Meter.begin()
    with Progress(console) as progress, phases.shown(progress.measuring):
        shaped = recipe if trained is None else shaping_methods(recipe)
        watching: dict[str, Any] = {"keep": kept, "learn": learn or None, "guard": guard_of(spec)} if kept else {}
        budget = inputs.budget if kept else None
        attach(trainer, shaped, budget, **watching, memories=inputs.memories, chunked_loss=True)
    assert isinstance(trainer, Attached)
    if trainer.holdfast.forward is not None and (note := trainer.holdfast.forward.comparison.note):
        print_line(console, f"  {note}")
    if trainer.holdfast_guard is not None:
        trainer.holdfast_guard.flags = True
    cost = meter.end()
    settings = resolved_settings(trainer, inputs.resources)
    if is_main_process():
        begin_folder(folder, spec, recipe, settings, part)
    if inputs.resources.mixes:  # the number of old examples is known only now
        print_line(console, f"  {settings_lines(settings)[1]}")
    asked = tuple(inputs.data.suites)
    if validation:
        asked = validation_side(asked, watched)
    trackers = keep_open(trainer, folder / TRACKERS)
    return _OpenRun(spec, recipe, folder, inputs, trainer, watched, asked, trackers, began, cost)


def guard_of(spec: RunSpec) -> Guard:
    """Returns the settings of the guard, which asks in the same way as the run measures."""
    return dataclasses.replace(spec.guard(), raw=spec.raw, batch_tokens=spec.eval_batch_tokens)


def _watched(inputs: RunInputs, console: Console, steers: bool) -> tuple[frozenset[str], list[Suite], list[Suite]]:
    """Returns the names of the suites that the guard watches, the retained ones, and those that measure learning.

    All three are empty without a budget, or if no retained suite has two sides.

    Raises:
        HoldfastError: No retained suite has two sides, and the guard shall steer the run.
    """
    if inputs.budget is None:
        return frozenset(), [], []
    names, sentence = watched_names(inputs.data.suites, inputs.budget)
    if steers and not names:
        raise HoldfastError(f"The run cannot be held inside its budget. {sentence}")
    console.print(f"  {sentence}", style="yellow", highlight=False, markup=False)
    kept, learn = ([s for s in inputs.data.suites if s.name in names and s.role == r] for r in ("retained", "learned"))
    return names, kept, learn


def _measured(run: _OpenRun, moment: Moment, progress: Progress, bases: Path | None = None) -> Answers:
    """Measures what is asked and writes the scores and answers, unless the folder already has those of this moment.

    Answers of the base come from the cache in `bases` if another run asked the same questions.
    """
    path, suites = run.folder / "scores.jsonl", run.asked
    texts = run.folder / "answers.jsonl"
    scores = read_scores(path) if path.exists() else {}
    if saved := scores.get(moment):
        return Answers(saved, read_said(texts, moment))
    asker = asker_of(run.spec, run.inputs.tokenizer)
    ask = functools.partial(measure, run.trainer.model, suites, asker, moment, progress.measuring)
    if bases is None:
        answers = ask()
    else:
        digest = questions_digest(suites, run.spec.raw, run.spec.precision)
        answers = cached_answers(bases / f"{digest}.jsonl", ask)
    if not is_main_process():
        return answers
    if answers.said:
        others = [row for row in read_jsonl(texts) if row["moment"] != moment] if texts.exists() else []
        write_jsonl(texts, [*others, *({"moment": moment, **line_of(text)} for text in answers.said)])
    write_scores(path, run.folder.name, {**scores, moment: answers.scores})
    return answers


@dataclasses.dataclass(frozen=True)
class _TrainingOutcome:
    """The outcome of a training.

    Attributes:
        cost: Cost of preparation and training; None if training resumed from a checkpoint, as its earlier cost is
            unknown.
        seconds: Wall time in this call.
        trained_parameters: Number of trained parameters.
        earlier_seconds: Wall time in earlier calls, up to the checkpoint from which this one went on.
        lender: Record of the run whose weights this run loaded instead of training; None if it trained.
        lender_name: Name of that run's folder.
    """

    cost: Cost | None
    seconds: float
    trained_parameters: int
    earlier_seconds: float = 0.0
    lender: RunRecord | None = None
    lender_name: str | None = None


def _train_or_lend(run: _OpenRun, trained: Path | None, progress: Progress, ending: SaveOnSignal) -> _TrainingOutcome:
    """Trains the model, or loads the weights of another run, and checks that all weights are finite."""
    trainer, model, resumed = run.trainer, run.trainer.model, False
    rotate = "save_total_limit" not in run.spec.training
    log = StepLog(run.folder / "log.jsonl", progress, rotate=rotate)
    trainer.add_callback(log)
    trainer.add_callback(ending)
    meter = Meter.begin()
    if trained is None:
        resumed = train_on(trainer, run.spec.resume)
    else:
        ship_edited(trainer, trained)
    training_cost = meter.end()
    trained_parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    check_weights(trainer.model)  # the shipped model, which has no adapter if that was merged
    cost = None if resumed else run.cost.plus(training_cost)
    if trained is None:
        return _TrainingOutcome(cost, training_cost.seconds, trained_parameters, log.earlier_seconds)
    lender = RunRecord.read(trained)
    total = None if cost is None or lender.cost is None else lender.cost.plus(cost)
    return _TrainingOutcome(total, training_cost.seconds, lender.trained_parameters, 0.0, lender, trained.name)


def _close(run: _OpenRun, done: _TrainingOutcome, before: Answers, after: Answers) -> RunRecord:
    """Saves the model, makes the record, reports it to trackers, and writes it last."""
    spec, trainer, model = run.spec, run.trainer, run.trainer.model
    add_stop_tokens(model, ending_ids(run.inputs.tokenizer, raw=spec.raw))
    if is_main_process():
        save_model(model, run.inputs.tokenizer, run.folder / "model")
    guard = guard_row(trainer, run.watched)
    is_trial = run.asked != tuple(run.inputs.data.suites)
    judged_before, judged_after = (before, after) if is_trial else (_test_items(run, side) for side in (before, after))
    suite_changes = changes(judged_before.scores, judged_after.scores)
    record = RunRecord(
        suites=tuple(map(row_of, suite_changes)),
        learned=learning_of(suite_changes, learned_before_rewind(guard, before.scores)),
        verdict=None if run.inputs.budget is None else verdict(suite_changes, run.inputs.budget),
        symptoms=run_symptoms(spec, judged_before, judged_after, guard),
        guard=guard,
        seconds=SecondsRow(
            training=done.earlier_seconds + done.seconds, all=done.earlier_seconds + time.monotonic() - run.began
        ),
        cost=done.cost,
        calibration=calibration_of(judged_before, judged_after),
        memories=rehearsed(trainer) if done.lender is None else done.lender.memories,
        shipped=shipped_row(trainer),
        steps=trainer.state.global_step if done.lender is None else done.lender.steps,
        trained_parameters=done.trained_parameters,
        parameters=sum(p.numel() for p in model.parameters()),
        trained_in=done.lender_name,
        judged_on="validation items" if is_trial else None,
    )
    log_result(trainer, run.trackers, record)
    if is_main_process():
        if not is_trial:
            judged = list(map(Judged.of, judged_side(run.asked, () if guard is None else guard.watched)))
            document(run.folder / "model", spec, run.recipe, record, judged, (judged_before, judged_after))
        write_json(run.folder / RunRecord.FILE, record.to_dict())
        delete_checkpoints(run.folder / "checkpoints", run.folder / TRACKERS)
    return record


def _test_items(run: _OpenRun, answers: Answers) -> Answers:
    """Returns the answers with the scores of the items that steered nothing."""
    return dataclasses.replace(answers, scores=proof(answers.scores, run.watched))


def _judged_again(record: RunRecord, folder: Path, spec: RunSpec) -> RunRecord:
    """Returns the record of a finished run with the verdict under the current budget."""
    budget, guard = spec.allowed(), record.guard
    if record.judged_on is not None:
        return record
    scores = read_scores(folder / "scores.jsonl")
    watched = () if guard is None else guard.watched
    suite_changes = changes(proof(scores["before"], watched), proof(scores["after"], watched))
    learned = learning_of(suite_changes, learned_before_rewind(guard, scores["before"]))
    return dataclasses.replace(
        record, learned=learned, verdict=None if budget is None else verdict(suite_changes, budget)
    )
