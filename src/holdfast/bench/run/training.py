"""The training of a run: started or resumed, logged, and ended without a half-written checkpoint."""

from __future__ import annotations

import contextlib
import functools
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
from holdfast.core.batches import collate
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.core.rows import Row, row_like
from holdfast.train.checkpoint import drop_older, drop_unfinished, last_checkpoint
from holdfast.train.session import check_losses


def packed_alike(examples: Sequence[Example]) -> list[Row]:
    """Returns the rows of a run's dataset; if any is packed, all get lengths, so that every batch is packed."""
    packed = next((example for example in examples if example.lengths), None)
    return list(examples) if packed is None else [row_like(example, packed) for example in examples]


def inputs_of(examples: Sequence[Example], pad_id: int) -> dict[str, Any]:
    """Returns a batch of examples as the keyword arguments of the model."""
    batch: dict[str, Any] = dict(collate(examples, pad_id))
    if "position_ids" in batch:
        batch["use_cache"] = False  # with a cache, models ignore the positions of packed documents
    return batch


def plain_trainer(
    model: nn.Module, arguments: TrainingArguments, examples: Sequence[Example], tokenizer: Any
) -> Trainer:
    """Returns a plain trainer, before any recipe is attached to it.

    Raises:
        HoldfastError: The trainer refuses the user's `training` (for example, a tracker that is not installed).
    """
    try:
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=packed_alike(examples),
            data_collator=functools.partial(inputs_of, pad_id=int(tokenizer.pad_token_id)),
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
