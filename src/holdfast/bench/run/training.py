"""The training of a run: started or resumed, logged, and ended without a half-written checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from holdfast.bench.machine.files import append_jsonl, read_jsonl, write_jsonl
from holdfast.bench.machine.progress import Progress
from holdfast.bench.machine.verbosity import is_main_process
from holdfast.bench.run.arguments import refused_by_transformers
from holdfast.bench.run.folder import reporting_write_errors
from holdfast.core.batches import collate, saves_time
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain
from holdfast.core.mix import Example
from holdfast.core.rows import Row, row_like
from holdfast.probes.apart import keeps_apart
from holdfast.train.checkpoint import drop_older, drop_unfinished, last_checkpoint
from holdfast.train.session import check_losses
from holdfast.train.task_loss import inner_of, text_config_of


def packed_alike(examples: Sequence[Example]) -> list[Row]:
    """Returns the rows of a run's dataset; if any is packed, all get lengths, so that every batch is packed."""
    packed = next((example for example in examples if example.lengths), None)
    return list(examples) if packed is None else [row_like(example, packed) for example in examples]


@dataclasses.dataclass(frozen=True)
class Collate:
    """Puts examples together as the keyword arguments of the model.

    Attributes:
        pad_id: Token id that shorter examples are filled up with.
        width: Hidden size of a model that reads a batch as one row, without padding, wherever that saves time; 0 pads
            every batch.
    """

    pad_id: int
    width: int = 0

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Returns a batch."""
        lengths = [len(example.input_ids) for example in examples]
        padding_free = self.width > 0 and saves_time(lengths, self.width)
        batch: dict[str, Any] = dict(collate(examples, self.pad_id, padding_free=padding_free))
        if "position_ids" in batch:
            batch["use_cache"] = False  # with a cache, models ignore the positions of packed documents
        return batch


def plain_trainer(
    model: nn.Module, arguments: TrainingArguments, examples: Sequence[Example], tokenizer: Any, recipe: Chain
) -> Trainer:
    """Returns a plain trainer, before its recipe is attached to it.

    Raises:
        HoldfastError: The trainer refuses the user's `training` (for example, a tracker that is not installed), or rows
            are packed and the model does not keep their documents apart.
    """
    collate_padded = Collate(int(tokenizer.pad_token_id))
    try:
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=packed_alike(examples),
            data_collator=collate_padded,
            processing_class=tokenizer,
        )
    except OSError as error:
        raise HoldfastError(
            f"Cannot write {arguments.output_dir}: {error.strerror or error}; choose another folder with --out."
        ) from error
    except (ValueError, TypeError, RuntimeError, ImportError) as error:
        raise refused_by_transformers(error) from error
    trainer.remove_callback(PrinterCallback)
    apart = keeps_apart(model)
    if not apart and any(example.lengths for example in examples):
        raise HoldfastError(
            f"{type(inner_of(model)).__name__} reads the documents of a packed row as one; leave out --packing."
        )
    # Methods that write the step's rows read them one by one, and nn.DataParallel splits a batch by its rows.
    if apart and not recipe.active().uses("renew_batches") and arguments.n_gpu <= 1:
        trainer.data_collator = dataclasses.replace(
            collate_padded, width=getattr(text_config_of(model), "hidden_size", 0)
        )
    return trainer


def train_on(trainer: Trainer, resume: bool) -> bool:
    """Trains, and returns whether it resumed from a checkpoint; also after an error, no checkpoint is half-written."""
    output = Path(str(trainer.args.output_dir))
    if is_main_process():
        drop_unfinished(output)
    resumed = resume and last_checkpoint(output) is not None
    try:
        with reporting_write_errors(output), _tokenizers_without_threads():
            trainer.train(resume_from_checkpoint=True if resumed else None)
    finally:
        if is_main_process():  # another process may be here while the main one still writes
            drop_unfinished(output)
    return resumed


@contextlib.contextmanager
def _tokenizers_without_threads() -> Iterator[None]:
    """Turns off the threads of the tokenizers library, which warns when a data loader forks the process."""
    name = "TOKENIZERS_PARALLELISM"
    was_set = name in os.environ
    os.environ.setdefault(name, "false")
    try:
        yield
    finally:
        if not was_set:
            del os.environ[name]


class StepLog(TrainerCallback):
    """Writes each logged step as a line, moves the progress bar, and stops at a non-finite loss.

    Attributes:
        earlier_seconds: Wall time of the training in earlier calls, up to the checkpoint from which this one goes on.
    """

    def __init__(self, path: Path, progress: Progress, rotate: bool) -> None:
        self.path = path
        self.progress = progress
        self.rotate = rotate
        self.earlier_seconds = 0.0
        self.began = 0.0
        self.advance: Callable[..., None] = lambda *_args, **_kwargs: None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Deletes the lines of steps that run again, and adds the progress bar."""
        if self.path.exists() and is_main_process():
            rows = [row for row in read_jsonl(self.path) if row["step"] <= state.global_step]
            write_jsonl(self.path, rows)
            self.earlier_seconds = rows[-1]["seconds"] if rows else 0.0
        self.began = time.monotonic()
        self.advance = self.progress.task("training", state.max_steps, done=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Writes a line; raises `HoldfastError` for a non-finite loss."""
        check_losses(logs, state.global_step)
        if "loss" in logs:
            if is_main_process():
                seconds = round(self.earlier_seconds + time.monotonic() - self.began, 3)
                append_jsonl(self.path, {"step": state.global_step, "seconds": seconds, **_finite(logs)})
            self.advance(state.global_step, loss=logs.get("task_loss", logs["loss"]))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Deletes the older checkpoint, after the recipe has written its part of the new one."""
        if self.rotate and is_main_process():
            drop_older(Path(str(args.output_dir)))


def _finite(logs: Mapping[str, Any]) -> dict[str, Any]:
    """Drops non-finite numbers: the norm of a gradient that overflowed in fp16, whose step the trainer skips."""
    return {name: value for name, value in logs.items() if not isinstance(value, float) or math.isfinite(value)}
