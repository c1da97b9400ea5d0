"""Reads a config of TRL: the arguments of `trl sft`, as a file or in a script."""

from __future__ import annotations

from typing import Any

from holdfast.bench.plan.check.config import (
    Format,
    TrainingConfig,
    Tuning,
    number,
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


def read(values: dict[str, Any]) -> TrainingConfig:
    """Returns the training that the arguments of `trl sft` describe; its default trains all weights."""
    values, note = with_defaults(values, DEFAULTS, "TRL")
    tuning: Tuning = "full" if not truth(values, "use_peft") else "qlora" if truth(values, "load_in_4bit") else "lora"
    fields, lr = sorted_keys(values, READ), number(values, "learning_rate")
    steps = whole(values, "max_steps")
    unknown = [*fields.pop("unknown")]
    unknown += ["loss_type"] if values.get("loss_type") not in (None, "nll", "chunked_nll") else []
    unknown += ["datasets"] if values.get("datasets") else []
    name, config = values.get("dataset_name"), values.get("dataset_config")
    data = f"{name}/{config}" if config else str(name or "")
    split = values.get("dataset_train_split")
    notes = [note] if note else []
    return TrainingConfig(
        "TRL",
        model=str(values.get("model_name_or_path") or ""),
        data=(f"{data}:{split}" if split not in (None, "train") else data,) if data else (),
        tuning=tuning,
        lr=lr,
        epochs=number(values, "num_train_epochs"),
        max_steps=steps if steps is not None and steps > 0 else None,
        rows=whole(values, "per_device_train_batch_size"),
        accumulation=whole(values, "gradient_accumulation_steps"),
        warmup_share=number(values, "warmup_ratio"),
        warmup_steps=whole(values, "warmup_steps"),
        schedule=values.get("lr_scheduler_type"),
        rank=whole(values, "lora_r") or (16 if tuning != "full" else None),
        alpha=number(values, "lora_alpha") or (32.0 if tuning != "full" else None),
        dropout=number(values, "lora_dropout"),
        targets=targets_of(values.get("lora_target_modules")),
        clip=number(values, "max_grad_norm"),
        weight_decay=number(values, "weight_decay"),
        max_length=whole(values, "max_seq_length") or whole(values, "max_length"),
        packing=truth(values, "packing"),
        precision=precision_of(values),
        loss_on="all" if truth(values, "completion_only_loss") is False else "completion",
        seed=whole(values, "seed"),
        unknown=tuple(unknown),
        notes=tuple(notes),
        **fields,
    )


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
