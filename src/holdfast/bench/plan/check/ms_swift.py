"""Reads a config of ms-swift: the arguments of `swift sft`, as a file or in a script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.bench.plan.check.config import (
    Format,
    TrainingConfig,
    Tuning,
    number,
    targets_of,
    truth,
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


def read(values: dict[str, Any]) -> TrainingConfig:
    """Returns the training that the arguments of ms-swift describe; its default is an adapter."""
    values, note = with_defaults(values, DEFAULTS, "ms-swift")
    kind = str(values.get("tuner_type") or values.get("train_type") or values.get("sft_type") or "lora")
    tuning: Tuning = TUNINGS.get(kind, "other")
    if tuning == "lora" and (values.get("quant_bits") or values.get("quantization_bit")):
        tuning = "qlora"
    frozen = number(values, "freeze_parameters_ratio")
    notes = [note] if note else []
    if tuning == "full" and frozen:
        tuning = "freeze"
        notes.append("freeze_parameters_ratio is a share of the parameters, FreezeBottom's of the layers.")
    fields = sorted_keys(values, READ)
    unknown = [*fields.pop("unknown"), *(["loss_scale"] if values.get("loss_scale") not in (None, "default") else [])]
    data = [name.partition("#") for name in words_of(values.get("dataset"))]
    notes += [f"{name}#{few}: all rows of it are taken." for name, _, few in data if few]
    lr = number(values, "learning_rate")
    return TrainingConfig(
        "ms-swift",
        model=str(values.get("model") or values.get("model_id_or_path") or ""),
        data=tuple(name for name, _, _ in data),
        test=next(iter(words_of(values.get("val_dataset"))), None),
        tuning=tuning,
        objective=str(values.get("rlhf_type") or "sft"),
        lr=(1e-4 if tuning in ("lora", "qlora") else 1e-5) if lr is None else lr,
        epochs=number(values, "num_train_epochs"),
        max_steps=whole(values, "max_steps"),
        rows=whole(values, "per_device_train_batch_size"),
        accumulation=whole(values, "gradient_accumulation_steps"),
        warmup_share=number(values, "warmup_ratio"),
        warmup_steps=whole(values, "warmup_steps"),
        schedule=values.get("lr_scheduler_type"),
        rank=whole(values, "lora_rank") or (8 if kind == "lora" else None),
        alpha=number(values, "lora_alpha") or (32.0 if kind == "lora" else None),
        dropout=number(values, "lora_dropout") or number(values, "lora_dropout_p"),
        targets=targets_of(values.get("target_modules")),
        frozen=frozen or None,
        clip=number(values, "max_grad_norm"),
        weight_decay=number(values, "weight_decay"),
        max_length=whole(values, "max_length"),
        packing=truth(values, "packing"),
        precision=PRECISIONS.get(str(values.get("torch_dtype"))) or ("bf16" if truth(values, "bf16") else None),
        loss_on="completion",
        seed=whole(values, "seed"),
        held_out=number(values, "split_dataset_ratio"),
        unknown=tuple(unknown),
        notes=tuple(notes),
        **fields,
    )


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
