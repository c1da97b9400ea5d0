"""Reads a config of ms-swift: the arguments of `swift sft`, as a file or in a script."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from holdfast.bench.plan.check.config import (
    Format,
    TrainingConfig,
    Tuning,
    eight_bits,
    first_of,
    mapped,
    number,
    precision_of,
    steps_of,
    targets_of,
    truth,
    warm_up,
    whole,
    with_defaults,
    words_of,
)
from holdfast.bench.plan.check.keys import sorted_keys
from holdfast.data.files import suffix_of

READ = frozenset(
    words_of(
        "model model_id_or_path tuner_type train_type sft_type dataset val_dataset learning_rate "
        "num_train_epochs max_steps per_device_train_batch_size gradient_accumulation_steps warmup_ratio "
        "warmup_steps lr_scheduler_type lora_rank lora_alpha lora_dropout lora_dropout_p target_modules "
        "max_grad_norm weight_decay max_length packing torch_dtype bf16 fp16 seed split_dataset_ratio "
        "quant_bits quantization_bit freeze_parameters_ratio rlhf_type loss_scale task_type truncation_strategy"
    )
)
DEFAULTS = {
    "num_train_epochs": 3,
    "per_device_train_batch_size": 1,
    "lr_scheduler_type": "cosine",
    "weight_decay": 0.1,
    "truncation_strategy": "delete",
}
ROWS = 16
"""Rows of a step where the config does not say in how many forwards it reads them."""
ADAPTER = {"lora_rank": 8, "lora_alpha": 32, "lora_dropout": 0.05}
TUNINGS: Mapping[str, Tuning] = {"full": "full", "lora": "lora"}
OVER_LONG = {"delete": "drop", "right": "truncate"}
PRECISIONS = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}


FIELDS = {
    "epochs": ("num_train_epochs", float),
    "rows": ("per_device_train_batch_size", int),
    "accumulation": ("gradient_accumulation_steps", int),
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
    fields, loss = sorted_keys(values, READ), str(values.get("loss_scale") or "default")
    unknown = [*fields.pop("unknown"), *(["loss_scale"] if loss not in ("default", "all") else [])]
    values = _renamed(values)
    adapts = (tuning := _tuning(values)) in ("lora", "qlora")
    defaults = {**DEFAULTS, "gradient_accumulation_steps": _forwards(values), "learning_rate": 1e-4 if adapts else 1e-5}
    values, note = with_defaults(values, {**defaults, **(ADAPTER if adapts else {})}, "ms-swift")
    notes = [*([note] if note else []), *_notes(values, tuning)]
    cut = str(values["truncation_strategy"])
    return TrainingConfig(
        "ms-swift",
        model=str(values.get("model") or ""),
        data=_names(values, "dataset", notes),
        test=first_of(_names(values, "val_dataset", notes), "val_dataset", notes),
        tuning=tuning,
        objective=str(values.get("rlhf_type") or "sft"),
        max_steps=steps_of(values),
        lr=number(values, "learning_rate"),
        rank=whole(values, "lora_rank"),
        alpha=number(values, "lora_alpha"),
        targets=targets_of(values.get("target_modules")),
        frozen=number(values, "freeze_parameters_ratio") or None,
        over_long=OVER_LONG.get(cut),
        precision=PRECISIONS.get(str(values.get("torch_dtype"))) or precision_of(values),
        loss_on="all" if loss == "all" else "completion",
        unknown=(*unknown, *([] if cut in OVER_LONG else ["truncation_strategy"])),
        notes=tuple(notes),
        **warm_up(values),
        **mapped(values, FIELDS),
        **fields,
    )


def _forwards(values: Mapping[str, Any]) -> int:
    """Returns the forwards of a step that ms-swift chooses, so that one device reads 16 rows."""
    return max(1, math.ceil(ROWS / (whole(values, "per_device_train_batch_size") or 1)))


def _notes(values: Mapping[str, Any], tuning: Tuning) -> Iterator[str]:
    if tuning == "freeze":
        yield "freeze_parameters_ratio is a share of the parameters, FreezeBottom's of the layers."
    if values.get("quant_bits") == 8:
        yield eight_bits("quant_bits 8")
    if values.get("max_length") is None:
        yield "max_length: ms-swift reads what the model can; the run reads rows of 512 tokens (max_length)."


def _names(values: Mapping[str, Any], key: str, notes: list[str]) -> tuple[str, ...]:
    """Returns data sets without the hub that they are on and the number of their rows (`HF::name:config#500`)."""
    names = []
    for given in words_of(values.get(key)):
        source, _, few = given.partition("#")
        hub, _, name = source.rpartition("::")
        if few:
            notes.append(f"{given}: all rows of it are taken.")
        start, colon, config = name.partition(":")
        names.append(f"{start}/{config}" if colon and not suffix_of(Path(name)) else name)
        if hub == "MS" or (hub == "" and "/" in name and not suffix_of(Path(name)) and not truth(values, "use_hf")):
            notes.append(f"{name} is a name on ModelScope; the run looks for it on the Hugging Face hub.")
    return tuple(names)


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments with the names of the newest version."""
    newer = {name: value for new, older in OLDER.items() for name in older if (value := values.get(name)) is not None}
    names = {name: new for new, older in OLDER.items() for name in older}
    return {**{names[name]: value for name, value in newer.items()}, **values}


def _tuning(values: Mapping[str, Any]) -> Tuning:
    tuning: Tuning = TUNINGS.get(str(values.get("tuner_type") or "lora"), "other")
    if tuning == "lora" and values.get("quant_bits") not in (None, 0, 8):
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
