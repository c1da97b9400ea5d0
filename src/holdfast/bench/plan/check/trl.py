"""Reads a config of TRL: the arguments of `trl sft`, as a file or in a script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from holdfast.bench.plan.check.config import (
    Format,
    TrainingConfig,
    Tuning,
    eight_bits,
    mapped,
    precision_of,
    steps_of,
    targets_of,
    truth,
    warm_up,
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
OTHER_OBJECTIVES = frozenset(
    words_of(
        "beta reference_free precompute_ref_log_probs rpo_alpha sync_ref_model desirable_weight undesirable_weight "
        "num_generations reward_funcs reward_weights reward_model_path"
    )
)
"""Arguments of `trl dpo`, `trl kto`, `trl grpo` and others, which `trl sft` does not have."""
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
    """Returns the training that the arguments of `trl sft` describe; its default trains all weights.

    Arguments that only other trainers of TRL have make it a training by preferences or rewards.
    """
    other = sorted(OTHER_OBJECTIVES & values.keys())
    fields = sorted_keys(values, READ)
    tuning: Tuning = "full" if not truth(values, "use_peft") else "qlora" if truth(values, "load_in_4bit") else "lora"
    unknown = [*fields.pop("unknown"), *(["datasets"] if values.get("datasets") else [])]
    unknown += ["loss_type"] if values.get("loss_type") not in (None, "nll", "chunked_nll") else []
    longest = {"max_length": values.get("max_seq_length")} if values.get("max_seq_length") else {}
    defaults = {**DEFAULTS, **({} if tuning == "full" else ADAPTER), "bf16": not truth(values, "fp16")}
    values, note = with_defaults({**values, **longest}, defaults, "TRL")
    return TrainingConfig(
        "TRL",
        model=str(values.get("model_name_or_path") or ""),
        data=_data(values, values.get("dataset_train_split")),
        test=next(iter(_data(values, split)), None) if (split := values.get("dataset_test_split")) else None,
        tuning=tuning,
        objective=f"of preferences or rewards ({', '.join(other)})" if other else "sft",
        max_steps=steps_of(values),
        targets=targets_of(values.get("lora_target_modules")),
        precision=precision_of(values),
        loss_on="all" if truth(values, "completion_only_loss") is False else "completion",
        unknown=tuple(unknown),
        notes=(*([note] if note else []), *_notes(values, tuning)),
        **warm_up(values),
        **mapped(values, FIELDS),
        **fields,
    )


def _notes(values: Mapping[str, Any], tuning: Tuning) -> Iterator[str]:
    if truth(values, "load_in_8bit"):
        yield eight_bits("load_in_8bit")
    if tuning != "full" and not values.get("lora_target_modules"):
        yield (
            "lora_target_modules: PEFT chooses them by the model, often attention alone; the run adapts all linear"
            " layers."
        )
    if not truth(values, "assistant_only_loss") and truth(values, "completion_only_loss") is None:
        yield (
            "assistant_only_loss: TRL learns all turns of rows of messages; the run learns the assistant's alone"
            " (loss_on: all learns all)."
        )


def _data(values: Mapping[str, Any], split: Any) -> tuple[str, ...]:
    """Returns the name of the data set with its configuration and a split."""
    name, config = values.get("dataset_name"), values.get("dataset_config")
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
