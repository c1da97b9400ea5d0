"""The `TrainingArguments` of a run: set by Holdfast where a run needs it, else by the user."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import TrainingArguments

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.run.pushing import OURS as PUSHED
from holdfast.bench.run.pushing import check_push
from holdfast.core.errors import HoldfastError, nearest
from holdfast.core.method import Chain
from holdfast.core.precision import check_precision
from holdfast.methods.adapter import Adapter
from holdfast.methods.schedules.train import Train
from holdfast.train.settings import SET_BY, train_of

A = TypeVar("A", bound=TrainingArguments)

FULL_LR, ADAPTER_LR = 2e-5, 2e-4
"""Default peak learning rates: of full fine-tuning, and of adapters, ten times as high (2405.09673)."""

_OWNED = {
    "output_dir": "set by --out and --name",
    "seed": "set by --seed",
    "data_seed": "set by --seed",
    "per_device_train_batch_size": "set by --batch-size",
    "bf16": "set by --precision",
    "fp16": "set by --precision",
    "remove_unused_columns": "always off in a run",
    "resume_from_checkpoint": "set by --resume",
    "disable_tqdm": "always on, because a run shows its own progress",
    "eval_strategy": "off: a run measures before and after training (--test, --keep)",
    "do_eval": "off: a run measures before and after training (--test, --keep)",
    "load_best_model_at_end": "off: a run ships its last model",
}

SCHEDULE = "cosine"
"""Default schedule of the trainer: from the peak rate to 0, as `Cosine()`."""


def micro_batch_rows(batch: int | None, limit: int) -> int:
    """Returns the rows per forward and process: at most `limit`, and a divisor of the rows of a step if given."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if batch is None or batch % processes:
        return limit
    rows_here = batch // processes
    return max(rows for rows in range(1, min(rows_here, limit) + 1) if rows_here % rows == 0)


def rate_of(recipe: Chain) -> float:
    """Returns the learning rate of a recipe, or the default if it names none."""
    named = train_of(recipe).lr
    small = any(isinstance(part, Adapter) and part.small for part in recipe.parts())
    return (ADAPTER_LR if small else FULL_LR) if named is None else named


def training_arguments(spec: RunSpec, recipe: Chain, folder: Path) -> TrainingArguments:
    """Returns the arguments of a run; see `arguments_of`."""
    return arguments_of(TrainingArguments, spec, recipe, folder)


def arguments_of(kind: type[A], spec: RunSpec, recipe: Chain, folder: Path) -> A:
    """Returns the arguments of a run, of a class of `TrainingArguments`.

    Args:
        kind: The class.
        spec: The run; its `training` is passed on unchanged.
        recipe: The recipe, which determines the default learning rate.
        folder: Folder for the checkpoints.

    Raises:
        HoldfastError: An argument is unknown (names the nearest) or set by the run or the recipe, transformers refuses
            a value, or this machine lacks the precision.
    """
    _check(spec.training, recipe)
    check_precision(spec.precision)
    values: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": micro_batch_rows(train_of(recipe).batch, spec.batch_size),
        "learning_rate": rate_of(recipe),
        "lr_scheduler_type": "constant" if recipe.active().uses("scale_lr") else SCHEDULE,
        "seed": spec.seed,
        "data_seed": spec.seed,
        "bf16": spec.precision == "bf16",
        "fp16": spec.precision == "fp16",
        "use_cpu": not torch.accelerator.is_available(),  # otherwise transformers refuses bf16 on a CPU
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "report_to": "none",
        "run_name": folder.parent.name,
        "log_level_replica": "error",  # only the main process logs
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": 0.2,
        "dataloader_pin_memory": torch.cuda.is_available(),
        **{key: value for key, value in spec.training.items() if key not in PUSHED},
    }
    try:
        return kind(**values)
    except (TypeError, ValueError, RuntimeError, ImportError) as error:
        raise refused_by_transformers(error) from error


def _check(training: Mapping[str, Any], recipe: Chain) -> None:
    """Raises `HoldfastError` for an argument that is unknown, set by the run or the recipe, or not a number."""
    known = {field.name: field.default for field in dataclasses.fields(TrainingArguments)}
    check_push(training)
    for key, value in training.items():
        if key == "logging_dir":
            raise HoldfastError(
                "training: transformers no longer has the argument 'logging_dir'; TensorBoard's files go into the run's"
                " folder, or into the one that the variable TENSORBOARD_LOGGING_DIR names."
            )
        if key not in known:
            own = key in {field.name for field in dataclasses.fields(Train)}
            hint = f" Write Train({key}={value}) in the recipe." if own else nearest(key, known)
            raise HoldfastError(f"training: transformers has no argument {key!r}.{hint}")
        if key in _OWNED:
            raise HoldfastError(f"training: {key} is {_OWNED[key]}; leave it out.")
        if key in SET_BY and getattr(train_of(recipe), SET_BY[key]) is not None:
            raise HoldfastError(f"training: {key} is already set by Train({SET_BY[key]}=...) in the recipe; keep one.")
        if type(known[key]) in (int, float) and not isinstance(value, (int, float)):
            raise HoldfastError(f"training: {key} is {value!r}; give a number.")


def refused_by_transformers(error: Exception) -> HoldfastError:
    """Returns the error of transformers on the user's `training`, on one line, with the nearest of many choices."""
    sentence = " ".join(str(error).split()).rstrip(".")
    listed = re.fullmatch(r"(\S+) is not a valid (\w+), please select one of \[(.+)\]", sentence)
    if listed and (hint := nearest(listed[1], re.findall(r"'([^']+)'", listed[3]))):
        sentence = f"{listed[1]!r} is not a valid {listed[2]}"
        return HoldfastError(f"training: {sentence}.{hint}")
    return HoldfastError(f"training: {sentence}.")
