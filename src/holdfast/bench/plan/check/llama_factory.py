"""Reads a config of LLaMA-Factory."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
    share_of,
    steps_of,
    targets_of,
    truth,
    warm_up,
    whole,
    with_defaults,
    words_of,
)
from holdfast.bench.plan.check.keys import sorted_keys

READ = frozenset(
    words_of(
        "model_name_or_path stage finetuning_type dataset eval_dataset dataset_dir learning_rate "
        "num_train_epochs max_steps per_device_train_batch_size gradient_accumulation_steps warmup_ratio "
        "warmup_steps lr_scheduler_type lora_rank lora_alpha lora_dropout lora_target max_grad_norm "
        "weight_decay cutoff_len packing bf16 fp16 train_on_prompt seed val_size quantization_bit "
        "quantization_method mix_strategy interleave_probs"
    )
)
DEFAULTS = {
    "learning_rate": 5e-5,
    "num_train_epochs": 3,
    "per_device_train_batch_size": 8,
    "lr_scheduler_type": "linear",
    "cutoff_len": 2048,
}
ADAPTER = {"lora_rank": 8}
TAKEN = frozenset(words_of("file_name hf_hub_url ms_hub_url om_hub_url subset split formatting file_sha1"))
"""Keys of an entry of dataset_info.json that are read, or say no more than its rows do."""
TUNINGS: Mapping[str, Tuning] = {"full": "full", "lora": "lora"}


FIELDS = {
    "lr": ("learning_rate", float),
    "epochs": ("num_train_epochs", float),
    "rows": ("per_device_train_batch_size", int),
    "accumulation": ("gradient_accumulation_steps", int),
    "schedule": ("lr_scheduler_type", str),
    "dropout": ("lora_dropout", float),
    "clip": ("max_grad_norm", float),
    "weight_decay": ("weight_decay", float),
    "max_length": ("cutoff_len", int),
    "packing": ("packing", bool),
    "seed": ("seed", int),
}
"""The key and type of each field that is only renamed."""


def read(values: dict[str, Any]) -> TrainingConfig:
    """Returns the training that a config of LLaMA-Factory describes; its default is an adapter."""
    kind = str(values.get("finetuning_type") or "lora")
    values, note = with_defaults(values, {**DEFAULTS, **(ADAPTER if kind == "lora" else {})}, "LLaMA-Factory")
    tuning = _tuning(values, kind)
    fields, notes = sorted_keys(values, READ), [note] if note else []
    if kind == "freeze":
        notes.append("finetuning_type freeze: FreezeBottom(share=...) is the nearest; give the share of frozen layers.")
    unknown = [*fields.pop("unknown"), *(key for key in ("mix_strategy", "interleave_probs") if values.get(key))]
    stage, bits = str(values.get("stage") or "sft"), whole(values, "quantization_bit")
    if bits == 8:
        notes.append(eight_bits("quantization_bit 8"))
    rank = whole(values, "lora_rank")
    return TrainingConfig(
        "LLaMA-Factory",
        model=str(values.get("model_name_or_path") or ""),
        data=_files(values, "dataset", notes, unknown),
        test=first_of(_files(values, "eval_dataset", notes, unknown), "eval_dataset", notes),
        tuning=tuning,
        objective="sft" if stage in ("sft", "pt") else stage,
        max_steps=steps_of(values),
        rank=rank,
        alpha=number(values, "lora_alpha") or (2 * rank if rank else None),
        targets=targets_of(values.get("lora_target")),
        precision=precision_of(values),
        loss_on="all" if truth(values, "train_on_prompt") else "completion",
        held_out=share_of(values, "val_size", notes),
        unknown=tuple(unknown),
        notes=tuple(notes),
        **warm_up(values),
        **mapped(values, FIELDS),
        **fields,
    )


def _tuning(values: Mapping[str, Any], kind: str) -> Tuning:
    tuning: Tuning = TUNINGS.get(kind, "other")
    return "qlora" if tuning == "lora" and values.get("quantization_bit") not in (None, 8) else tuning


def _files(values: Mapping[str, Any], key: str, notes: list[str], unknown: list[str]) -> tuple[str, ...]:
    """Returns the files of data sets by the names in dataset_info.json; without one there, the names."""
    folder = Path(str(values.get("dataset_dir") or "data"))
    table: Any = {}
    if (folder / "dataset_info.json").is_file():
        try:
            table = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8-sig"))
        except (OSError, ValueError):
            notes.append(f"{folder / 'dataset_info.json'} cannot be read.")
    files = []
    for name in words_of(values.get(key)):
        entry = table.get(name) if isinstance(table, Mapping) else None
        entry = entry if isinstance(entry, Mapping) else {}
        source = _source(entry, folder)
        if not source and "/" not in name:
            notes.append(f"{key} {name}: {folder / 'dataset_info.json'} does not name its file; put it in place.")
        files.append(source or name)
        unknown += [f"{name}.{part}" for part, value in entry.items() if value is not None and part not in TAKEN]
    return tuple(files)


def _source(entry: Mapping[str, Any], folder: Path) -> str:
    """Returns the file of an entry of dataset_info.json, or its name on the hub; empty without either."""
    if file := entry.get("file_name"):
        return str(folder / file)
    hub, subset, split = (entry.get(key) for key in ("hf_hub_url", "subset", "split"))
    return f"{hub}{f'/{subset}' if subset else ''}{f':{split}' if split not in (None, 'train') else ''}" if hub else ""


FORMAT = Format(
    "LLaMA-Factory",
    read,
    frozenset({"finetuning_type", "stage", "cutoff_len", "lora_target", "dataset_dir", "template", "lora_rank"}),
    frozenset({"model_name_or_path", "dataset"}),
)
