"""One run: measure, train, measure again, and leave one folder.

<out>/<name>/spec.json      what was asked for, resolved
             env.json       versions and machine
             log.jsonl      one line per logged step
             scores.jsonl   every score, before and after
             answers.jsonl  what the model said to each item, before and after, if it was asked any
             trackers/      what trackers wrote, if any were asked for (--training report_to=...)
             result.json    written last: a folder without it is not finished
             model/         the trained model, as transformers or PEFT load it
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from holdfast.bench.alone import alone
from holdfast.bench.arguments import refused_by_transformers
from holdfast.bench.cost import Cost
from holdfast.bench.edited import as_trained, shaping, ship_trained
from holdfast.bench.ending import Ending
from holdfast.bench.folder import (
    begin_folder,
    finished_before,
    folder_of,
    leaving_no_empty_folders,
    open_folder,
    writing,
)
from holdfast.bench.foresee import resolved, settings_lines
from holdfast.bench.guarded import guarded, proof, said_of, sides
from holdfast.bench.judge import changes, exit_code, verdict
from holdfast.bench.learned import learning, seen
from holdfast.bench.load import load_model
from holdfast.bench.measure import manner, measure
from holdfast.bench.once import asked_of, once
from holdfast.bench.prepare import Suite, check_fit
from holdfast.bench.progress import Progress
from holdfast.bench.quiet import is_first, only_first, quiet
from holdfast.bench.records import (
    Moment,
    RunSpec,
    ScoreRow,
    append_jsonl,
    read_jsonl,
    read_scores,
    write_json,
    write_jsonl,
    write_scores,
)
from holdfast.bench.stops import stop_at
from holdfast.bench.trackers import FOLDER as TRACKERS
from holdfast.bench.trackers import keep_open, leave_behind, tell
from holdfast.bench.training import train_on
from holdfast.bench.understood import understand
from holdfast.core import phases
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain
from holdfast.core.mix import Example
from holdfast.data.batches import collate
from holdfast.data.tokenize import ending_ids
from holdfast.recipe import parse
from holdfast.train.attach import Attached, attach
from holdfast.train.checkpoint import drop_older
from holdfast.train.session import check_losses


@dataclasses.dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        folder: Where everything lies.
        spec: What was asked for.
        result: What result.json holds: `suites` (the rows of the table), `learned`, `verdict` if there is a budget,
            `guard` if it had something to watch, `seconds`, `steps`, `trained_parameters`.
    """

    folder: Path
    spec: RunSpec
    result: dict[str, Any]

    @property
    def exit_code(self) -> int:
        """Returns 0 kept, 2 forgot, 3 not enough evidence, 4 kept but nothing learned; 0 without a budget."""
        return exit_code(self.result)


def train(
    spec: RunSpec, console: Console | None = None, *, bases: Path | None = None, trained: Path | None = None
) -> RunResult:
    """Runs `spec` and returns what came of it; a finished run that is asked for again is only read.

    Args:
        spec: What to run; with `resume`, an interrupted run goes on from its last checkpoint.
        console: Where progress and the table are printed; the terminal if absent.
        bases: Folder in which the base's answers are kept, for other runs that ask it the same.
        trained: Folder of a finished run that differs in nothing but edits of the weights after training: they are done
            on its model, and nothing is trained.

    Raises:
        HoldfastError: For anything the user can mend. Nothing half-written stays behind.
    """
    console = only_first(console or Console())
    recipe = parse(spec.recipe)
    folder = folder_of(spec)
    with alone(folder):
        finished = open_folder(folder, spec)
        if finished is not None:
            console.print(finished_before(folder), style="yellow", highlight=False, markup=False, soft_wrap=True)
            return RunResult(folder, spec, _judged_again(finished, folder, spec))
        ending = Ending()
        with leaving_no_empty_folders(folder), quiet(), ending.listening():
            result = _run(spec, recipe, folder, console, bases, trained, ending)
    return RunResult(folder, spec, result)


def _run(
    spec: RunSpec,
    recipe: Chain,
    folder: Path,
    console: Console,
    bases: Path | None,
    trained: Path | None,
    ending: Ending,
) -> dict[str, Any]:
    console.print(repr(recipe), style="bold", markup=False)
    made = understand(spec, recipe)
    tokenizer, data, budget, notes = made.tokenizer, made.data, made.budget, list(made.notes)
    console.print(f"{spec.model} learns {spec.data}: {len(data.train):,} examples", markup=False)
    for line in made.foreseen.lines():
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    with Progress(console) as progress, progress.phase(f"loading {spec.model}"):
        model: Any = load_model(spec.model, frozen=made.foreseen.estimate.frozen, notes=notes)
    suites = [example for suite in data.suites for example in suite.examples]
    notes += check_fit(model, [*data.train, *suites, *made.old], spec)
    for note in notes:
        console.print(f"  {note}", style="yellow", highlight=False, markup=False)
    if hasattr(model, "peft_config"):
        model.name_or_path = spec.model  # where a record of what steered the adapter lies
    trainer = _trainer(model, made.arguments, data.train, tokenizer)
    split, guard = _guard(budget, data.suites, tokenizer, spec, console)
    started, preparing = time.monotonic(), Cost.begin()
    with Progress(console) as progress, phases.shown(progress.measuring):
        attach(trainer, recipe if trained is None else shaping(recipe), guard, memories=made.memories)
    assert isinstance(trainer, Attached)
    model = trainer.model
    prepared = preparing.end()
    settled = resolved(trainer, made.foreseen)
    if is_first():
        begin_folder(folder, spec, recipe, settled)
    if made.foreseen.mixes:  # how many old examples there are is known only now
        console.print(f"  {settings_lines(settled)[1]}", highlight=False, markup=False, soft_wrap=True)
    trackers = keep_open(trainer, folder / TRACKERS)
    with Progress(console) as progress, phases.shown(progress.measuring):
        before = _scores(model, data.suites, "before", folder, tokenizer, spec, progress, bases)
        trainer.add_callback(_Log(folder / "log.jsonl", progress, rotate="save_total_limit" not in spec.training))
        trainer.add_callback(ending)
        training = Cost.begin()
        resumed = False
        if trained is None:
            resumed = train_on(trainer, spec.resume)
        else:
            ship_trained(trainer, trained)
        spent = training.end()
        trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        model = trainer.model  # what is shipped: without its adapter, if that was merged
        _check_weights(model)
        after = _scores(model, data.suites, "after", folder, tokenizer, spec, progress)
    stop_at(model, ending_ids(tokenizer, raw=spec.raw))
    if is_first():
        _save(model, tokenizer, folder / "model")
    found = changes(proof(before, split), proof(after, split))
    guard_saw = {**watch.summary(), "watched": sorted(split)} if (watch := trainer.holdfast_guard) else {}
    result = {
        "suites": [one.to_dict() for one in found],
        "learned": learning(found, seen(guard_saw, before)),
        **({"verdict": verdict(found, budget)} if budget is not None else {}),
        **({"guard": guard_saw} if guard_saw else {}),
        "seconds": {"training": spent.seconds, "all": time.monotonic() - started},
        **({} if resumed else {"cost": prepared.plus(spent).to_dict()}),  # what it was before is not known
        **({"memories": rehearsed} if (rehearsed := _rehearsed(trainer)) else {}),
        **({"shipped": shipped} if (shipped := trainer.holdfast_shipped) else {}),
        "steps": trainer.state.global_step,
        "trained_parameters": trainable,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    if trained is not None:
        result |= as_trained(trained, result.pop("cost"))
    tell(trainer, trackers, result, RunResult(folder, spec, result).exit_code)
    if is_first():
        write_json(folder / "result.json", result)
        leave_behind(folder / "checkpoints", folder / TRACKERS)
    return result


def _guard(
    budget: Budget | None, suites: Sequence[Suite], tokenizer: Any, spec: RunSpec, console: Console
) -> tuple[frozenset[str], Budget | None]:
    """Returns the suites of which one side is watched, and the budget with what a guard watches; None without one."""
    if budget is None:
        return frozenset(), None
    split = sides(suites, budget)
    found = guarded(suites, split, budget, tokenizer, **manner(spec))
    said = said_of(suites, split, budget, found is not None)
    console.print(f"  {said}", style="yellow", highlight=False, markup=False)
    return split if found is not None else frozenset(), found


def _judged_again(result: dict[str, Any], folder: Path, spec: RunSpec) -> dict[str, Any]:
    """Returns the result of a finished run with the verdict of the budget that is given now, and what was learned."""
    budget, guard_saw = spec.allowed(), result.get("guard", {})
    rows = read_scores(folder / "scores.jsonl")
    before, after = ([row for row in rows if row.moment == moment] for moment in ("before", "after"))
    found = changes(*(proof(own, guard_saw.get("watched", ())) for own in (before, after)))
    rest = {key: value for key, value in result.items() if key != "verdict"}
    rest |= {"learned": learning(found, seen(guard_saw, before))}
    return rest if budget is None else {**rest, "verdict": verdict(found, budget)}


def _trainer(model: nn.Module, arguments: TrainingArguments, examples: Sequence[Example], tokenizer: Any) -> Trainer:
    """Returns a plain trainer.

    Raises:
        HoldfastError: It refuses the user's `training` (a tracker that is not installed, say).
    """
    try:
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=_rows(examples),
            data_collator=_Collate(int(tokenizer.pad_token_id)),
            processing_class=tokenizer,
        )
    except OSError as error:
        raise HoldfastError(
            f"Cannot write {arguments.output_dir}: {error.strerror or error}; choose another folder with --out."
        ) from error
    except (ValueError, TypeError, RuntimeError, ImportError) as error:
        raise refused_by_transformers(error) from error
    trainer.remove_callback(PrinterCallback)
    return trainer


def _check_weights(model: nn.Module) -> None:
    """Refuses to go on with a model that holds what is no number, where no logged loss has shown it."""
    for name, p in model.named_parameters():
        if p.requires_grad and not torch.isfinite(p).all():
            raise HoldfastError(
                f"Training left values in {name} that are no numbers, and no model was saved; lower the learning rate"
                " (Train(lr=...))."
            )


def _scores(
    model: nn.Module,
    suites: Sequence[Suite],
    moment: Moment,
    folder: Path,
    tokenizer: Any,
    spec: RunSpec,
    progress: Progress,
    bases: Path | None = None,
) -> list[ScoreRow]:
    """Measures all suites and writes the rows; rows of this moment that stand there already are read back.

    So are those of the base (`bases`) where another run asked it the same.
    """
    path = folder / "scores.jsonl"
    there = read_scores(path) if path.exists() else []
    own = [row for row in there if row.moment == moment]
    if own:
        return own
    ask = functools.partial(
        measure, model, tokenizer, suites, moment, run=folder.name, show=progress.measuring, **manner(spec)
    )
    asked = asked_of(suites, spec.raw)
    rows, said = ask() if bases is None else once(bases / f"{asked}.jsonl", folder.name, ask)
    if not is_first():
        return rows
    if said:
        answers = folder / "answers.jsonl"
        before = [row for row in read_jsonl(answers) if row["moment"] != moment] if answers.exists() else []
        write_jsonl(answers, [*before, *({"moment": moment, **dataclasses.asdict(one)} for one in said)])
    write_scores(path, [*there, *rows])
    return rows


def _save(model: Any, tokenizer: Any, target: Path) -> None:
    """Saves model and tokenizer beside the target first, and then renames."""
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with writing(target):
            model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
            if getattr(model, "generation_config", None) is not None:  # an adapter's folder would have none
                model.generation_config.save_pretrained(partial)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _rehearsed(trainer: Attached) -> list[dict[str, Any]]:
    """Returns what was rehearsed, its share of the tokens, and how near it is said to be to what is measured."""
    mix = trainer.holdfast_mix
    if mix is None:
        return []
    found = zip(mix.names, mix.ratios, mix.nears, strict=True)
    return [{"name": name, "share": share, "near": near} for name, share, near in found]


def _rows(examples: Sequence[Example]) -> list[dict[str, Any]]:
    packed = any(example.lengths for example in examples)
    return [
        {"input_ids": list(e.input_ids), "labels": list(e.labels)}
        | ({"seq_lengths": list(e.lengths or (len(e.input_ids),))} if packed else {})
        for e in examples
    ]


@dataclasses.dataclass(frozen=True)
class _Collate:
    pad_id: int

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        examples = [Example(r["input_ids"], r["labels"], lengths=tuple(r.get("seq_lengths", ()))) for r in rows]
        batch: dict[str, Any] = dict(collate(examples, self.pad_id))
        del batch["source"]
        if "position_ids" in batch:
            batch["use_cache"] = False  # with a cache, models do not look for packed documents in the positions
        return batch


class _Log(TrainerCallback):
    """Writes each logged step as a line, moves the progress bar, and stops at a loss that is no number."""

    def __init__(self, path: Path, progress: Progress, rotate: bool) -> None:
        self.path = path
        self.progress = progress
        self.rotate = rotate
        self.advance: Callable[..., None] = lambda *_args, **_kwargs: None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.path.exists() and is_first():
            write_jsonl(self.path, [row for row in read_jsonl(self.path) if row["step"] <= state.global_step])
        self.advance = self.progress.task("training", state.max_steps, done=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        check_losses(logs, state.global_step)
        if "loss" in logs:
            if is_first():
                append_jsonl(self.path, {"step": state.global_step, **_finite(logs)})
            self.advance(state.global_step, loss=logs.get("task_loss", logs["loss"]))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # After the recipe's own part is written, and so after the older checkpoint is no longer needed.
        if self.rotate and is_first():
            drop_older(Path(str(args.output_dir)))


def _finite(logs: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves out numbers that are none: the norm of a gradient that overflowed in fp16, whose step is skipped."""
    return {name: value for name, value in logs.items() if not isinstance(value, float) or math.isfinite(value)}
