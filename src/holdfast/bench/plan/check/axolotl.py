"""Reads a config of axolotl."""

from __future__ import annotations

from collections.abc import Mapping
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
        "base_model datasets test_datasets adapter load_in_4bit load_in_8bit learning_rate num_epochs "
        "max_steps micro_batch_size gradient_accumulation_steps warmup_ratio warmup_steps lr_scheduler lora_r "
        "lora_alpha lora_dropout lora_target_modules lora_target_linear max_grad_norm weight_decay "
        "sequence_len sample_packing bf16 fp16 train_on_inputs seed val_set_size optimizer rl "
        "unfrozen_parameters gradient_clipping batch_size"
    )
)
DEFAULTS = {"num_epochs": 1, "micro_batch_size": 1, "lr_scheduler": "cosine"}
TUNINGS: Mapping[str, Tuning] = {"lora": "lora", "qlora": "qlora"}


def read(values: dict[str, Any]) -> TrainingConfig:
    """Returns the training that a config of axolotl describes."""
    values, note = with_defaults(values, DEFAULTS, "axolotl")
    notes, adapter = [note] if note else [], values.get("adapter")
    tuning: Tuning = "full" if not adapter else TUNINGS.get(str(adapter), "other")
    if tuning == "lora" and truth(values, "load_in_4bit"):
        tuning = "qlora"
    fields = sorted_keys(values, READ)
    passed = {**fields.pop("passed"), **({"optim": values["optimizer"]} if values.get("optimizer") else {})}
    unknown = list(fields.pop("unknown"))
    if values.get("unfrozen_parameters"):
        unknown.append("unfrozen_parameters")
    rows = whole(values, "micro_batch_size")
    accumulation = whole(values, "gradient_accumulation_steps")
    if rows and not accumulation and (batch := whole(values, "batch_size")):
        accumulation = max(1, batch // rows)
    if truth(values, "load_in_8bit"):
        notes.append("load_in_8bit: weights stay in the 16 bits of their file instead.")
    clip = number(values, "max_grad_norm")
    return TrainingConfig(
        "axolotl",
        model=str(values.get("base_model") or ""),
        data=_paths(values.get("datasets"), unknown, "datasets"),
        test=next(iter(_paths(values.get("test_datasets"), unknown, "test_datasets")), None),
        tuning=tuning,
        objective=str(values.get("rl") or "sft"),
        lr=number(values, "learning_rate"),
        epochs=number(values, "num_epochs"),
        max_steps=whole(values, "max_steps"),
        rows=rows,
        accumulation=accumulation,
        warmup_share=number(values, "warmup_ratio"),
        warmup_steps=whole(values, "warmup_steps"),
        schedule=values.get("lr_scheduler"),
        rank=whole(values, "lora_r"),
        alpha=number(values, "lora_alpha"),
        dropout=number(values, "lora_dropout"),
        targets="all-linear" if truth(values, "lora_target_linear") else targets_of(values.get("lora_target_modules")),
        clip=number(values, "gradient_clipping") if clip is None else clip,
        weight_decay=number(values, "weight_decay"),
        max_length=whole(values, "sequence_len"),
        packing=truth(values, "sample_packing"),
        precision=precision_of(values),
        loss_on="all" if truth(values, "train_on_inputs") else "completion",
        seed=whole(values, "seed"),
        held_out=_share(values, notes),
        passed=passed,
        unknown=tuple(unknown),
        notes=tuple(notes),
        **fields,
    )


def _paths(sets: Any, unknown: list[str], key: str) -> tuple[str, ...]:
    """Returns the names of data sets; other keys of an entry than its name, type and file have no translation."""
    names = []
    for place, entry in enumerate(sets if isinstance(sets, list) else []):
        if not isinstance(entry, Mapping):
            names.append(str(entry))
            continue
        files = entry.get("data_files")
        file = files[0] if isinstance(files, list) and len(files) == 1 else files
        names.append(str(file if isinstance(file, str) else entry.get("path")))
        known = {"path", "type", "data_files", "ds_type", "split", "name"}
        unknown += [f"{key}[{place}].{name}" for name in entry if name not in known and entry[name] is not None]
        if isinstance(entry.get("type"), Mapping):
            unknown.append(f"{key}[{place}].type")
    return tuple(names)


def _share(values: Mapping[str, Any], notes: list[str]) -> float | None:
    share = number(values, "val_set_size")
    if share is not None and share >= 1:
        notes.append(f"val_set_size {share:g} is a number of rows; a tenth of the rows is held out instead.")
        return None
    return share


FORMAT = Format(
    "axolotl",
    read,
    frozenset({"base_model", "micro_batch_size", "sequence_len", "num_epochs", "sample_packing", "val_set_size"}),
)
