"""Reads a config of ms-swift: the arguments of `swift sft`, as a file or in a script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.bench.plan.check.config import (
    Format,
    TrainingConfig,
    Tuning,
    mapped,
    number,
    precision_of,
    targets_of,
    whole,
    with_defaults,
    words_of,
)
from holdfast.bench.plan.check.keys import sorted_keys

READ = frozenset(
    words_of(
        "model model_id_or_path tuner_type train_type sft_type dataset val_dataset learning_rate "
        "num_train_epochs max_steps per_device_train_batch_size gradient_accumulation_steps warmup_ratio "
        "warmup_steps lr_scheduler_type lora_rank lora_alpha lora_dropout lora_dropout_p target_modules "
        "max_grad_norm weight_decay max_length packing torch_dtype bf16 fp16 seed split_dataset_ratio "
        "quant_bits quantization_bit freeze_parameters_ratio rlhf_type loss_scale task_type"
    )
)
DEFAULTS = {"num_train_epochs": 3, "per_device_train_batch_size": 1, "lr_scheduler_type": "cosine"}
TUNINGS: Mapping[str, Tuning] = {"full": "full", "lora": "lora"}
PRECISIONS = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}


FIELDS = {
    "epochs": ("num_train_epochs", float),
    "max_steps": ("max_steps", int),
    "rows": ("per_device_train_batch_size", int),
    "accumulation": ("gradient_accumulation_steps", int),
    "warmup_share": ("warmup_ratio", float),
    "warmup_steps": ("warmup_steps", int),
    "schedule": ("lr_scheduler_type", str),
    "dropout": ("lora_dropout", float),
    "clip": ("max_grad_norm", float),
    "weight_decay": ("weight_decay", float),
    "max_length": ("max_length", int),
    "packing": ("packing", bool),
    "seed": ("seed", int),
    "held_out": ("split_dataset_ratio", float),
}
"""The key and type of each field that is only renamed."""
OLDER = {
    "tuner_type": ("train_type", "sft_type"),
    "model": ("model_id_or_path",),
    "quant_bits": ("quantization_bit",),
    "lora_dropout": ("lora_dropout_p",),
}
"""Names of the same arguments in older versions."""


def read(values: dict[str, Any]) -> TrainingConfig:
    """Returns the training that the arguments of ms-swift describe; its default is an adapter."""
    fields, loss = sorted_keys(values, READ), values.get("loss_scale")
    unknown = [*fields.pop("unknown"), *(["loss_scale"] if loss not in (None, "default") else [])]
    values, note = with_defaults(_renamed(values), DEFAULTS, "ms-swift")
    tuning, notes = _tuning(values), [note] if note else []
    adapts = tuning in ("lora", "qlora")
    defaults = {"learning_rate": 1e-4 if adapts else 1e-5, **({"lora_rank": 8, "lora_alpha": 32} if adapts else {})}
    values, note = with_defaults(values, defaults, "ms-swift")
    data = [name.partition("#") for name in words_of(values.get("dataset"))]
    notes += [*([note] if note else []), *(f"{name}#{few}: all rows of it are taken." for name, _, few in data if few)]
    if tuning == "freeze":
        notes.append("freeze_parameters_ratio is a share of the parameters, FreezeBottom's of the layers.")
    return TrainingConfig(
        "ms-swift",
        model=str(values.get("model") or ""),
        data=tuple(name for name, _, _ in data),
        test=next(iter(words_of(values.get("val_dataset"))), None),
        tuning=tuning,
        objective=str(values.get("rlhf_type") or "sft"),
        lr=number(values, "learning_rate"),
        rank=whole(values, "lora_rank"),
        alpha=number(values, "lora_alpha"),
        targets=targets_of(values.get("target_modules")),
        frozen=number(values, "freeze_parameters_ratio") or None,
        precision=PRECISIONS.get(str(values.get("torch_dtype"))) or precision_of(values),
        loss_on="completion",
        unknown=tuple(unknown),
        notes=tuple(notes),
        **mapped(values, FIELDS),
        **fields,
    )


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments with the names of the newest version."""
    newer = {name: value for new, older in OLDER.items() for name in older if (value := values.get(name)) is not None}
    names = {name: new for new, older in OLDER.items() for name in older}
    return {**{names[name]: value for name, value in newer.items()}, **values}


def _tuning(values: Mapping[str, Any]) -> Tuning:
    tuning: Tuning = TUNINGS.get(str(values.get("tuner_type") or "lora"), "other")
    if tuning == "lora" and values.get("quant_bits"):
        return "qlora"
    return "freeze" if tuning == "full" and number(values, "freeze_parameters_ratio") else tuning


FORMAT = Format(
    "ms-swift",
    read,
    frozenset(
        words_of(
            "tuner_type train_type sft_type split_dataset_ratio target_modules freeze_parameters_ratio "
            "model_id_or_path tuner_backend val_dataset loss_scale"
        )
    ),
    frozenset({"model", "dataset", "lora_rank"}),
)
