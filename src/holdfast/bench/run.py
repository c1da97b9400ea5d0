"""One run: measure, train, measure again, and leave one folder.

<out>/<name>/spec.json      what was asked for, resolved
             env.json       versions and machine
             log.jsonl      one line per logged step
             scores.jsonl   every score, before and after
             answers.jsonl  what the model said to each item, before and after, if it was asked any
             result.json    written last: a folder without it is not finished
             model/         the trained model, as transformers or PEFT load it
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
import os
import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.utils import logging as transformers_logging

from holdfast.bench.alone import alone
from holdfast.bench.arguments import refused_by_transformers, training_arguments
from holdfast.bench.cost import Cost
from holdfast.bench.edited import as_trained, shaping, ship_trained
from holdfast.bench.folder import begin_folder, folder_of, leaving_no_empty_folders, open_folder, writing
from holdfast.bench.guarded import guarded, proof, sides
from holdfast.bench.judge import changes, check_limits, verdict
from holdfast.bench.load import load_model, load_tokenizer
from holdfast.bench.measure import manner, measure
from holdfast.bench.once import asked_of, once
from holdfast.bench.prepare import Suite, check_fit, prepare
from holdfast.bench.progress import Progress
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
from holdfast.core import phases
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError, nearest
from holdfast.core.method import Chain
from holdfast.core.mix import Example
from holdfast.data.batches import collate
from holdfast.data.memory import load_memory
from holdfast.recipe import parse
from holdfast.stats.verdict import EXIT_CODES
from holdfast.train.attach import Attached, attach
from holdfast.train.checkpoint import drop_older, drop_unfinished, last_checkpoint
from holdfast.train.session import check_losses


@dataclasses.dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        folder: Where everything lies.
        spec: What was asked for.
        result: What result.json holds: `suites` (the rows of the table), `verdict` if there is a budget, `guard` if it
            had something to watch, `seconds`, `steps`, `trained_parameters`.
    """

    folder: Path
    spec: RunSpec
    result: dict[str, Any]

    @property
    def exit_code(self) -> int:
        """Returns 0 kept, 2 forgot, 3 not enough evidence; 0 without a budget, which can be neither kept nor broken."""
        return EXIT_CODES[self.result["verdict"]["word"]] if "verdict" in self.result else 0


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
    console = console or Console()
    recipe = parse(spec.recipe)
    folder = folder_of(spec)
    with alone(folder):
        finished = open_folder(folder, spec)
        if finished is not None:
            return RunResult(folder, spec, _judged_again(finished, folder, spec))
        transformers_logging.disable_progress_bar()  # the run shows its own
        with leaving_no_empty_folders(folder), warnings.catch_warnings():
            # Of transformers to PEFT, about a name that neither the user nor this package uses.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
            result = _run(spec, recipe, folder, console, bases, trained)
    return RunResult(folder, spec, result)


def _run(
    spec: RunSpec, recipe: Chain, folder: Path, console: Console, bases: Path | None, trained: Path | None
) -> dict[str, Any]:
    tokenizer = load_tokenizer(spec.model)
    arguments = training_arguments(spec, recipe, folder / "checkpoints")
    paths, unused = memories_of(recipe, spec)
    data = prepare(spec, tokenizer, tuple(paths.values()))
    budget = spec.allowed()
    if budget is not None:
        check_limits(budget, {unit for suite in data.suites if suite.role == "retained" for unit in suite.units()})
    memories = {
        name: load_memory(path, tokenizer, max_length=spec.max_length, raw=spec.raw) for name, path in paths.items()
    }
    with Progress(console) as progress, progress.phase(f"loading {spec.model}"):
        model: Any = load_model(spec.model)
    suites = [example for suite in data.suites for example in suite.examples]
    notes = [*data.notes, *unused]
    notes += check_fit(model, [*data.train, *suites, *(e for m in memories.values() for e in m)], spec)
    console.print(repr(recipe), style="bold", markup=False)
    console.print(f"{spec.model} learns {spec.data}: {len(data.train):,} examples", markup=False)
    for note in notes:
        console.print(f"  {note}", style="yellow", highlight=False, markup=False)
    trainer = _trainer(model, arguments, data.train, tokenizer)
    split, guard = _guard(budget, data.suites, tokenizer, spec, console)
    started, preparing = time.monotonic(), Cost.begin()
    with Progress(console) as progress, phases.shown(progress.measuring):
        attach(trainer, recipe if trained is None else shaping(recipe), guard, memories=memories)
    assert isinstance(trainer, Attached)
    model = trainer.model
    prepared = preparing.end()
    begin_folder(folder, spec, recipe)
    with Progress(console) as progress, phases.shown(progress.measuring):
        before = _scores(model, data.suites, "before", folder, tokenizer, spec, progress, bases)
        trainer.add_callback(_Log(folder / "log.jsonl", progress, rotate="save_total_limit" not in spec.training))
        training = Cost.begin()
        resumed = False
        if trained is None:
            resumed = _train(trainer, spec.resume)
        else:
            ship_trained(trainer, trained)
        spent = training.end()
        trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        model = trainer.model  # what is shipped: without its adapter, if that was merged
        _check_weights(model)
        after = _scores(model, data.suites, "after", folder, tokenizer, spec, progress)
    _save(model, tokenizer, folder / "model")
    found = changes(proof(before, split), proof(after, split))
    result = {
        "suites": [one.to_dict() for one in found],
        **({"verdict": verdict(found, budget)} if budget is not None else {}),
        **({"guard": {**watch.summary(), "watched": sorted(split)}} if (watch := trainer.holdfast_guard) else {}),
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
    write_json(folder / "result.json", result)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return result


def _guard(
    budget: Budget | None, suites: Sequence[Suite], tokenizer: Any, spec: RunSpec, console: Console
) -> tuple[frozenset[str], Budget | None]:
    """Returns the suites of which one side is watched, and the budget with what a guard watches; None without one."""
    if budget is None:
        return frozenset(), None
    split = sides(suites, budget)
    found = guarded(suites, split, budget, tokenizer, **manner(spec))
    said = (
        "The guard watches some of what is to be kept while the model trains; the verdict is on the rest."
        if found is not None
        else "No suite has items for a guard and for a proof: nothing watches while the model trains, and the budget "
        "is judged at the end."
    )
    console.print(f"  {said}", style="yellow", highlight=False, markup=False)
    return split if found is not None else frozenset(), found


def _judged_again(result: dict[str, Any], folder: Path, spec: RunSpec) -> dict[str, Any]:
    """Returns the result of a finished run with the verdict of the budget that is given now, if one is."""
    budget = spec.allowed()
    rest = {key: value for key, value in result.items() if key != "verdict"}
    if budget is None:
        return rest
    rows = read_scores(folder / "scores.jsonl")
    rows = proof(rows, result.get("guard", {}).get("watched", ()))
    found = changes([r for r in rows if r.moment == "before"], [r for r in rows if r.moment == "after"])
    return {**rest, "verdict": verdict(found, budget)}


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


def _train(trainer: Trainer, resume: bool) -> bool:
    """Trains, and returns whether it went on from a checkpoint; whatever happens, none stays half-written."""
    output = Path(str(trainer.args.output_dir))
    drop_unfinished(output)
    go_on = resume and last_checkpoint(output) is not None
    noise = logging.getLogger("transformers.trainer_utils")
    noise.addFilter(_is_news)
    try:
        with writing(output):
            trainer.train(resume_from_checkpoint=True if go_on else None)
    finally:
        noise.removeFilter(_is_news)
        drop_unfinished(output)
    return go_on


def _is_news(record: logging.LogRecord) -> bool:
    """Returns whether a log line says what a run does not see to itself: a resumed one has the settings it had."""
    return not record.getMessage().startswith("Warning: The following arguments do not match")


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
            shutil.rmtree(target, ignore_errors=True)
            os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def memories_of(recipe: Chain, spec: RunSpec) -> tuple[dict[str, str], list[str]]:
    """Finds the memories that the recipe asks for: by the names that the run gives, else as paths.

    Returns:
        Where each memory is, and a sentence about each that is given and not asked for.
    """
    paths = spec.memories()
    asked = {name for part in recipe.active().parts() for name in part.sources}
    for name in sorted(asked - set(paths)):
        if paths and not Path(name).expanduser().exists() and (hint := nearest(name, paths)):
            raise HoldfastError(f"Recipe {spec.recipe!r}: there is no file and no --memory called {name!r}.{hint}")
    found = {name: paths.get(name, name) for name in sorted(asked)}
    unused = sorted(set(paths) - asked)
    return found, [f"The memory {name!r} is not used: no method of the recipe asks for it." for name in unused]


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
        if self.path.exists():
            write_jsonl(self.path, [row for row in read_jsonl(self.path) if row["step"] <= state.global_step])
        self.advance = self.progress.task("training", state.max_steps, done=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        check_losses(logs, state.global_step)
        if "loss" in logs:
            append_jsonl(self.path, {"step": state.global_step, **_finite(logs)})
            self.advance(state.global_step, loss=logs.get("task_loss", logs["loss"]))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # After the recipe's own part is written, and so after the older checkpoint is no longer needed.
        if self.rotate:
            drop_older(Path(str(args.output_dir)))


def _finite(logs: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves out numbers that are none: the norm of a gradient that overflowed in fp16, whose step is skipped."""
    return {name: value for name, value in logs.items() if not isinstance(value, float) or math.isfinite(value)}
