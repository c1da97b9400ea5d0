"""Reads a config of TRL: the arguments of `trl sft`, as a file or in a script."""

from __future__ import annotations

from typing import Any

from holdfast.bench.plan.check.config import (
    Format,
    TrainingConfig,
    Tuning,
    mapped,
    precision_of,
    targets_of,
    truth,
    whole,
    with_defaults,
    words_of,
)
from holdfast.bench.plan.check.keys import sorted_keys

READ = frozenset(
    words_of(
        "model_name_or_path dataset_name dataset_config dataset_train_split dataset_test_split datasets "
        "use_peft load_in_4bit load_in_8bit learning_rate num_train_epochs max_steps "
        "per_device_train_batch_size gradient_accumulation_steps warmup_ratio warmup_steps lr_scheduler_type "
        "lora_r lora_alpha lora_dropout lora_target_modules max_grad_norm weight_decay max_length "
        "max_seq_length packing bf16 fp16 completion_only_loss assistant_only_loss seed loss_type"
    )
)
DEFAULTS = {
    "learning_rate": 2e-5,
    "num_train_epochs": 3,
    "per_device_train_batch_size": 8,
    "lr_scheduler_type": "linear",
    "max_length": 1024,
}


ADAPTER = {"lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.05}
FIELDS = {
    "lr": ("learning_rate", float),
    "epochs": ("num_train_epochs", float),
    "rows": ("per_device_train_batch_size", int),
    "accumulation": ("gradient_accumulation_steps", int),
    "warmup_share": ("warmup_ratio", float),
    "warmup_steps": ("warmup_steps", int),
    "schedule": ("lr_scheduler_type", str),
    "rank": ("lora_r", int),
    "alpha": ("lora_alpha", float),
    "dropout": ("lora_dropout", float),
    "clip": ("max_grad_norm", float),
    "weight_decay": ("weight_decay", float),
    "max_length": ("max_length", int),
    "packing": ("packing", bool),
    "seed": ("seed", int),
}
"""The key and type of each field that is only renamed."""


def read(values: dict[str, Any]) -> TrainingConfig:
    """Returns the training that the arguments of `trl sft` describe; its default trains all weights."""
    fields, steps = sorted_keys(values, READ), whole(values, "max_steps")
    tuning: Tuning = "full" if not truth(values, "use_peft") else "qlora" if truth(values, "load_in_4bit") else "lora"
    unknown = [*fields.pop("unknown"), *(["datasets"] if values.get("datasets") else [])]
    unknown += ["loss_type"] if values.get("loss_type") not in (None, "nll", "chunked_nll") else []
    longest = {"max_length": values.get("max_seq_length")} if values.get("max_seq_length") else {}
    defaults = {**DEFAULTS, **({} if tuning == "full" else ADAPTER), "bf16": not truth(values, "fp16")}
    values, note = with_defaults({**values, **longest}, defaults, "TRL")
    return TrainingConfig(
        "TRL",
        model=str(values.get("model_name_or_path") or ""),
        data=_data(values),
        tuning=tuning,
        max_steps=None if steps is None or steps < 1 else steps,
        targets=targets_of(values.get("lora_target_modules")),
        precision=precision_of(values),
        loss_on="all" if truth(values, "completion_only_loss") is False else "completion",
        unknown=tuple(unknown),
        notes=(note,) if note else (),
        **mapped(values, FIELDS),
        **fields,
    )


def _data(values: dict[str, Any]) -> tuple[str, ...]:
    """Returns the name of the data set with its configuration and split."""
    name, config, split = (values.get(key) for key in ("dataset_name", "dataset_config", "dataset_train_split"))
    if not name:
        return ()
    whole_name = f"{name}/{config}" if config else str(name)
    return (whole_name if split in (None, "train") else f"{whole_name}:{split}",)


FORMAT = Format(
    "TRL",
    read,
    frozenset(
        words_of(
            "dataset_name use_peft lora_target_modules completion_only_loss assistant_only_loss "
            "dataset_train_split max_seq_length lora_r lora_task_type dataset_config"
        )
    ),
    frozenset({"model_name_or_path", "max_length"}),
)
