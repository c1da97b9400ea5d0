"""Reads a config of axolotl."""

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
KNOWN = frozenset({"path", "type", "data_files", "ds_type", "split", "name"})
"""Keys of a data set that are read, or say no more than its file does."""
PLAIN = ("chat_template", "completion", "sharegpt")
"""Types of data sets whose rows are learned as they stand, in a chat template or without one; others add words."""
TUNINGS: Mapping[str, Tuning] = {"lora": "lora", "qlora": "qlora"}


FIELDS = {
    "lr": ("learning_rate", float),
    "epochs": ("num_epochs", float),
    "max_steps": ("max_steps", int),
    "rows": ("micro_batch_size", int),
    "warmup_share": ("warmup_ratio", float),
    "warmup_steps": ("warmup_steps", int),
    "schedule": ("lr_scheduler", str),
    "rank": ("lora_r", int),
    "alpha": ("lora_alpha", float),
    "dropout": ("lora_dropout", float),
    "weight_decay": ("weight_decay", float),
    "max_length": ("sequence_len", int),
    "packing": ("sample_packing", bool),
    "seed": ("seed", int),
}
"""The key and type of each field that is only renamed."""


def read(values: dict[str, Any]) -> TrainingConfig:
    """Returns the training that a config of axolotl describes."""
    values, note = with_defaults(values, DEFAULTS, "axolotl")
    notes, fields = [note] if note else [], sorted_keys(values, READ)
    passed = {**fields.pop("passed"), **({"optim": values["optimizer"]} if values.get("optimizer") else {})}
    unknown = [*fields.pop("unknown"), *(["unfrozen_parameters"] if values.get("unfrozen_parameters") else [])]
    if truth(values, "load_in_8bit"):
        notes.append("load_in_8bit: weights stay in the 16 bits of their file instead.")
    return TrainingConfig(
        "axolotl",
        model=str(values.get("base_model") or ""),
        data=_paths(values.get("datasets"), unknown, "datasets"),
        test=next(iter(_paths(values.get("test_datasets"), unknown, "test_datasets")), None),
        tuning=_tuning(values),
        objective=str(values.get("rl") or "sft"),
        accumulation=_accumulation(values),
        targets=_targets(values),
        clip=number({"gradient_clipping": values.get("max_grad_norm"), **values}, "gradient_clipping"),
        precision=precision_of(values),
        loss_on="all" if truth(values, "train_on_inputs") else "completion",
        held_out=_share(values, notes),
        passed=passed,
        unknown=tuple(unknown),
        notes=tuple(notes),
        **mapped(values, FIELDS),
        **fields,
    )


def _tuning(values: Mapping[str, Any]) -> Tuning:
    adapter = values.get("adapter")
    tuning: Tuning = "full" if not adapter else TUNINGS.get(str(adapter), "other")
    return "qlora" if tuning == "lora" and truth(values, "load_in_4bit") else tuning


def _targets(values: Mapping[str, Any]) -> str | None:
    return "all-linear" if truth(values, "lora_target_linear") else targets_of(values.get("lora_target_modules"))


def _accumulation(values: Mapping[str, Any]) -> int | None:
    """Returns the forwards of a step, if need be from the rows of a step."""
    given, rows, batch = (
        whole(values, key) for key in ("gradient_accumulation_steps", "micro_batch_size", "batch_size")
    )
    return max(1, batch // rows) if given is None and rows and batch else given


def _paths(sets: Any, unknown: list[str], key: str) -> tuple[str, ...]:
    """Returns the names of data sets; other keys of an entry than its name, type and file have no translation."""
    names = []
    for place, entry in enumerate(sets if isinstance(sets, list) else []):
        if not isinstance(entry, Mapping):
            names.append(str(entry))
            continue
        names.append(_path(entry))
        odd = {name for name, value in entry.items() if value is not None and name not in KNOWN}
        if entry.get("type") not in (None, *PLAIN):
            odd.add("type")
        unknown += [f"{key}[{place}].{name}" for name in sorted(odd)]
    return tuple(names)


def _path(entry: Mapping[str, Any]) -> str:
    """Returns the only file of a data set, or its name."""
    files = entry.get("data_files")
    file = files[0] if isinstance(files, list) and len(files) == 1 else files
    return str(file if isinstance(file, str) else entry.get("path"))


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
