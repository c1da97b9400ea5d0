"""One run: measure, train, measure again, and leave one folder.

<out>/<name>/spec.json      what was asked for, resolved
             env.json       versions and machine
             log.jsonl      one line per logged step
             scores.jsonl   every score, before and after
             result.json    written last: a folder without it is not finished
             model/         the trained model, as transformers or PEFT load it
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn
from transformers import PrinterCallback, Trainer, TrainerCallback
from transformers.utils import logging as transformers_logging

from holdfast.bench.arguments import training_arguments
from holdfast.bench.env import environment
from holdfast.bench.load import load_model, load_tokenizer
from holdfast.bench.prepare import Suite, prepare
from holdfast.bench.progress import Progress
from holdfast.bench.records import RunSpec, ScoreRow, append_jsonl, read_jsonl, read_scores, write_json, write_scores
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain
from holdfast.core.mix import Example
from holdfast.data.batches import collate
from holdfast.data.memory import load_memory
from holdfast.methods.rehearsal.rehearsal import Rehearsal
from holdfast.probes.likelihood import document_nll
from holdfast.recipe import parse
from holdfast.stats.paired import paired_change
from holdfast.train.attach import attach
from holdfast.train.checkpoint import last_checkpoint
from holdfast.train.session import check_losses


@dataclasses.dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        folder: Where everything lies.
        spec: What was asked for.
        result: What result.json holds: `suites` (the rows of the table), `seconds`, `steps`, `trained_parameters`.
        exit_code: 0; a run without a budget can neither keep nor break one.
    """

    folder: Path
    spec: RunSpec
    result: dict[str, Any]
    exit_code: int = 0


def train(spec: RunSpec, console: Console | None = None) -> RunResult:
    """Runs `spec` and returns what came of it; a finished run that is asked for again is only read.

    Args:
        spec: What to run; with `resume`, an interrupted run goes on from its last checkpoint.
        console: Where progress and the table are printed; the terminal if absent.

    Raises:
        HoldfastError: For anything the user can mend. Nothing half-written stays behind.
    """
    console = console or Console()
    recipe = parse(spec.recipe)
    folder = Path(spec.out) / (spec.name or _name(spec))
    finished = _open_folder(folder, spec)
    if finished is not None:
        return finished
    transformers_logging.disable_progress_bar()  # the run shows its own
    tokenizer = load_tokenizer(spec.model)
    arguments = training_arguments(spec, recipe, folder / "checkpoints")
    data = prepare(spec, tokenizer)
    model: Any = load_model(spec.model)
    _check_vocabulary(model, data.train, spec)
    console.print(f"[bold]{recipe!r}[/bold]\n{spec.model} learns {spec.data}: {len(data.train):,} examples")
    for note in data.notes:
        console.print(f"  {note}", style="yellow", highlight=False)
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=_rows(data.train),
        data_collator=_Collate(int(tokenizer.pad_token_id)),
        processing_class=tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    attach(trainer, recipe, memories=_memories(recipe, spec, tokenizer))
    model = trainer.model
    _begin_folder(folder, spec, recipe)
    started = time.monotonic()
    with Progress(console) as progress:
        before = _scores(model, data.suites, "before", folder, tokenizer, progress)
        trainer.add_callback(_Log(folder / "log.jsonl", progress))
        seconds = _train(trainer, spec.resume)
        after = _scores(model, data.suites, "after", folder, tokenizer, progress)
    _save(model, tokenizer, folder / "model")
    result = {
        "suites": [_compare(suite, before, after) for suite in data.suites],
        "seconds": {"training": seconds, "all": time.monotonic() - started},
        "steps": trainer.state.global_step,
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    write_json(folder / "result.json", result)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return RunResult(folder, spec, result)


def _open_folder(folder: Path, spec: RunSpec) -> RunResult | None:
    """Returns the result of a finished run, or None when there is something to do.

    Raises:
        HoldfastError: The folder belongs to another run, or holds an unfinished one and `resume` is not set.
    """
    if not folder.exists():
        return None
    if not (folder / "spec.json").exists():
        if any(folder.iterdir()):
            raise HoldfastError(f"{folder} is not the folder of a run; choose another with --out or --name.")
        return None
    try:
        other = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    except ValueError:
        raise HoldfastError(
            f"{folder}/spec.json cannot be read; delete {folder}, or choose another with --name."
        ) from None
    asked = _identity(spec)
    different = sorted(key for key in asked if other.get(key) != asked[key])
    if different:
        raise HoldfastError(
            f"{folder} holds a run with another {', '.join(different)}; choose another folder with --name."
        )
    if (folder / "result.json").exists():
        return RunResult(folder, spec, json.loads((folder / "result.json").read_text(encoding="utf-8")))
    if not spec.resume:
        raise HoldfastError(f"{folder} holds a run that was interrupted; go on with --resume, or delete the folder.")
    return None


def _begin_folder(folder: Path, spec: RunSpec, recipe: Any) -> None:
    write_json(folder / "spec.json", {**_identity(spec), "resolved_recipe": repr(recipe)})
    write_json(folder / "env.json", environment())


def _identity(spec: RunSpec) -> dict[str, Any]:
    return {key: value for key, value in spec.to_dict().items() if key not in ("resume", "out", "name")}


def _name(spec: RunSpec) -> str:
    digest = hashlib.sha256(json.dumps(_identity(spec), sort_keys=True).encode()).hexdigest()[:8]
    stem = Path(spec.data).name.split(".", 1)[0] or "run"
    return f"{stem}-{digest}-seed{spec.seed}"


def _train(trainer: Trainer, resume: bool) -> float:
    """Trains, and returns the seconds that it took."""
    started = time.monotonic()
    output = Path(str(trainer.args.output_dir))
    go_on = resume and last_checkpoint(output) is not None
    try:
        trainer.train(resume_from_checkpoint=True if go_on else None)
    except OSError as error:
        raise HoldfastError(
            f"Cannot write {output}: {error.strerror or error}; free some space or choose another --out."
        ) from error
    return time.monotonic() - started


def _scores(
    model: nn.Module, suites: Sequence[Suite], moment: Any, folder: Path, tokenizer: Any, progress: Progress
) -> list[ScoreRow]:
    """Measures all suites and writes the rows; rows of this moment that stand there already are read back."""
    path = folder / "scores.jsonl"
    there = read_scores(path) if path.exists() else []
    own = [row for row in there if row.moment == moment]
    if own:
        return own
    rows = []
    for suite in suites:
        show = progress.measuring(f"measuring {suite.name} {moment}")
        for score in document_nll(model, suite.examples, pad_id=int(tokenizer.pad_token_id), progress=show):
            rows.append(
                ScoreRow(
                    run=folder.name,
                    moment=moment,
                    suite=suite.name,
                    role=suite.role,
                    split="proof",
                    item=score.origin,
                    group=score.origin,
                    value=score.nats,
                    unit="nats",
                    higher_is_better=False,
                    weight=score.tokens,
                )
            )
    write_scores(path, [*there, *rows])
    return rows


def _compare(suite: Suite, before: Sequence[ScoreRow], after: Sequence[ScoreRow]) -> dict[str, Any]:
    first = {row.item: row for row in before if row.suite == suite.name}
    last = {row.item: row for row in after if row.suite == suite.name}
    items = list(first)
    change = paired_change(
        [first[item].value for item in items],
        [last[item].value for item in items],
        [first[item].weight for item in items],
    )
    found: dict[str, Any] = {
        "name": suite.name,
        "role": suite.role,
        "documents": change.documents,
        "tokens": change.weight,
        "before": change.before,
        "after": change.after,
        "change": change.change,
    }
    if change.low is not None and change.high is not None:
        found |= {"low": change.low, "high": change.high}
    return found


def _save(model: Any, tokenizer: Any, target: Path) -> None:
    """Saves model and tokenizer beside the target first, and then renames."""
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
    except OSError as error:
        raise HoldfastError(
            f"Cannot write {target}: {error.strerror or error}; free some space or choose another --out."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _memories(recipe: Chain, spec: RunSpec, tokenizer: Any) -> dict[str, list[Example]]:
    """Loads the memories that the recipe asks for: by the names that the run gives, else as paths."""
    paths = spec.memories()
    asked = {name for part in recipe.parts() if isinstance(part, Rehearsal) and not part.off for name in part.sources}
    return {
        name: load_memory(paths.get(name, name), tokenizer, max_length=spec.max_length, raw=spec.raw)
        for name in sorted(asked)
    }


def _check_vocabulary(model: nn.Module, examples: Sequence[Example], spec: RunSpec) -> None:
    rows = model.get_input_embeddings().weight.shape[0]  # type: ignore[operator]
    for example in examples:
        if max(example.input_ids) >= rows:
            raise HoldfastError(
                f"{example.origin}: token {max(example.input_ids)} is outside the {rows} that {spec.model} knows; the"
                " tokenizer belongs to another model."
            )


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

    def __init__(self, path: Path, progress: Progress) -> None:
        self.path = path
        self.progress = progress
        self.advance: Callable[..., None] = lambda *_args, **_kwargs: None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.path.exists():
            kept = [row for row in read_jsonl(self.path) if row["step"] <= state.global_step]
            self.path.unlink()
            for row in kept:
                append_jsonl(self.path, row)
        self.advance = self.progress.task("training", state.max_steps, done=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        check_losses(logs, state.global_step)
        if "loss" in logs:
            append_jsonl(self.path, {"step": state.global_step, **logs})
            self.advance(state.global_step, loss=logs.get("task_loss", logs["loss"]))
