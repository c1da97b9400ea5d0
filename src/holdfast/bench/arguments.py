"""The `TrainingArguments` of a run: ours where a run needs them, the user's for everything else."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from holdfast.bench.records import RunSpec
from holdfast.core.errors import HoldfastError, nearest
from holdfast.core.method import Chain
from holdfast.methods.schedules.train import Train
from holdfast.methods.selection.lora import LoRA

FULL_LR, ADAPTER_LR = 2e-5, 2e-4
"""Peak learning rates where the recipe names none: full fine-tuning, and adapters at ten times that (2405.09673)."""

_OWNED = {
    "output_dir": "--out and --name",
    "seed": "--seed",
    "data_seed": "--seed",
    "per_device_train_batch_size": "--batch-size",
    "bf16": "--precision",
    "fp16": "--precision",
    "remove_unused_columns": "nothing; it must stay off",
    "resume_from_checkpoint": "--resume",
    "disable_tqdm": "nothing; the run shows its own progress",
}
_OF_TRAIN = {
    "learning_rate": "lr",
    "num_train_epochs": "epochs",
    "weight_decay": "weight_decay",
    "max_grad_norm": "clip",
}


def training_arguments(spec: RunSpec, recipe: Chain, folder: Path) -> TrainingArguments:
    """Returns the arguments of a run.

    Args:
        spec: The run; its `training` goes through untouched.
        recipe: The recipe, which decides the learning rate where nobody names one.
        folder: Where checkpoints go.

    Raises:
        HoldfastError: An unknown argument (with the nearest name), one that the run or the recipe owns, a value that
            transformers refuses, or a precision that this machine does not have.
    """
    known = {field.name for field in dataclasses.fields(TrainingArguments)}
    settings = next((part for part in recipe.parts() if isinstance(part, Train)), Train())
    for key in spec.training:
        if key not in known:
            raise HoldfastError(f"training: transformers has no argument {key!r}.{nearest(key, known)}")
        if key in _OWNED:
            raise HoldfastError(f"training: {key} is set by {_OWNED[key]}; leave it out.")
        if key in _OF_TRAIN and getattr(settings, _OF_TRAIN[key]) is not None:
            raise HoldfastError(
                f"training: {key} is already set by Train({_OF_TRAIN[key]}=...) in the recipe; keep one."
            )
    if spec.precision == "fp16" and not torch.cuda.is_available():
        raise HoldfastError("--precision fp16 needs a GPU; use bf16, which this machine's processor has, or fp32.")
    adapter = any(isinstance(part, LoRA) for part in recipe.parts())
    values: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": spec.batch_size,
        "learning_rate": ADAPTER_LR if adapter else FULL_LR,
        "lr_scheduler_type": "constant",
        "seed": spec.seed,
        "data_seed": spec.seed,
        "bf16": spec.precision == "bf16",
        "fp16": spec.precision == "fp16",
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "report_to": "none",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": 0.2,
        "save_total_limit": 1,
        "dataloader_pin_memory": torch.cuda.is_available(),
        **spec.training,
    }
    try:
        return TrainingArguments(**values)
    except (TypeError, ValueError) as error:
        raise HoldfastError(f"training: {' '.join(str(error).split())}") from error
