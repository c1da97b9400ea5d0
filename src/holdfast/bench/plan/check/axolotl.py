"""Reads a config of axolotl."""

from __future__ import annotations

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
from holdfast.data.files import suffix_of

READ = frozenset(
    words_of(
        "base_model datasets test_datasets adapter load_in_4bit load_in_8bit learning_rate num_epochs "
        "max_steps micro_batch_size gradient_accumulation_steps warmup_ratio warmup_steps lr_scheduler lora_r "
        "lora_alpha lora_dropout lora_target_modules lora_target_linear max_grad_norm weight_decay "
        "sequence_len sample_packing bf16 fp16 train_on_inputs seed val_set_size optimizer rl "
        "unfrozen_parameters gradient_clipping batch_size excess_length_strategy"
    )
)
DEFAULTS = {"num_epochs": 1, "micro_batch_size": 1, "lr_scheduler": "cosine", "excess_length_strategy": "drop"}
KNOWN = frozenset({"path", "type", "data_files", "ds_type", "split", "name"})
"""Keys of a data set that are read, or say no more than its file does."""
FILES = frozenset({"json", "csv", "parquet", "arrow", "text"})
"""Values of `path` that stand for the kind of the files."""
PLAIN = ("chat_template", "completion", "sharegpt")
"""Types of data sets whose rows are learned as they stand, in a chat template or without one; others add words."""
TUNINGS: Mapping[str, Tuning] = {"lora": "lora", "qlora": "qlora"}


FIELDS = {
    "lr": ("learning_rate", float),
    "epochs": ("num_epochs", float),
    "rows": ("micro_batch_size", int),
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
        notes.append(eight_bits("load_in_8bit"))
    over_long = str(values["excess_length_strategy"])
    unknown += [] if over_long in ("drop", "truncate") else ["excess_length_strategy"]
    return TrainingConfig(
        "axolotl",
        model=str(values.get("base_model") or ""),
        data=_paths(values.get("datasets"), unknown, "datasets"),
        test=first_of(_paths(values.get("test_datasets"), unknown, "test_datasets"), "test_datasets", notes),
        tuning=_tuning(values),
        objective=str(values.get("rl") or "sft"),
        max_steps=steps_of(values),
        accumulation=_accumulation(values),
        targets=_targets(values),
        clip=number({"gradient_clipping": values.get("max_grad_norm"), **values}, "gradient_clipping"),
        precision=precision_of(values),
        loss_on="all" if truth(values, "train_on_inputs") else "completion",
        over_long=over_long if over_long in ("drop", "truncate") else None,
        held_out=share_of(values, "val_set_size", notes),
        passed=passed,
        unknown=tuple(unknown),
        notes=tuple(notes),
        **warm_up(values),
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
    names: list[str] = []
    for place, entry in enumerate(sets if isinstance(sets, list) else []):
        if not isinstance(entry, Mapping):
            names.append(str(entry))
            continue
        odd = {name for name, value in entry.items() if value is not None and name not in KNOWN}
        if entry.get("type") not in (None, *PLAIN):
            odd.add("type")
        names += _names(entry, odd)
        unknown += [f"{key}[{place}].{name}" for name in sorted(odd)]
    return tuple(names)


def _names(entry: Mapping[str, Any], odd: set[str]) -> list[str]:
    """Returns the files of a data set, or its name with its config and split; what has no translation joins `odd`."""
    path, name, split = str(entry.get("path")), entry.get("name"), entry.get("split")
    given = entry.get("data_files")
    files = [str(file) for file in (given if isinstance(given, list) else [given]) if file is not None]
    if split in ("train", None):
        split = None
    if files or suffix_of(Path(path)):
        odd |= {key for key, value in (("name", name), ("split", split)) if value is not None}
        if files and path not in (*FILES, *files):
            odd.add("data_files")
            return [path]
        return files or [path]
    return [f"{path}{f'/{name}' if name else ''}{f':{split}' if split else ''}"]


FORMAT = Format(
    "axolotl",
    read,
    frozenset({"base_model", "micro_batch_size", "sequence_len", "num_epochs", "sample_packing", "val_set_size"}),
)
