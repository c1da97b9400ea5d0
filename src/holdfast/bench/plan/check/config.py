"""One form for the configs of all trainers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from holdfast.core.errors import HoldfastError

Tuning = Literal["full", "lora", "qlora", "freeze", "other"]


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """A training as a config describes it; None stands for a setting that the config leaves to its trainer.

    Attributes:
        trainer: Name of the trainer that the config is for.
        model: Name of the model.
        data: Names of the data sets, in order.
        test: Name of the data set that measures; None without one.
        tuning: What trains: all weights, an adapter, an adapter on quantised weights, the upper layers, or something
            that has no translation.
        objective: "sft", or the name of another one, which has no translation.
        lr: Peak learning rate.
        epochs: Passes over the data.
        max_steps: Steps that end the run; None for passes.
        rows: Rows of a forward on each device.
        accumulation: Forwards of a step.
        warmup_share: Warm-up as a share of the run.
        warmup_steps: Warm-up in steps.
        schedule: Name of the learning-rate schedule, as transformers names it.
        rank: Rank of the adapter.
        alpha: Its scale.
        dropout: Its dropout.
        targets: Its modules, "all-linear" or names separated by commas.
        frozen: Share of the layers that stay frozen.
        clip: Limit on the norm of the gradient.
        weight_decay: Weight decay.
        max_length: Longest row in tokens.
        over_long: What becomes of longer rows, "truncate" or "drop".
        packing: Whether several examples share a row.
        precision: "fp32", "bf16" or "fp16".
        loss_on: "completion", or "all" if prompts are learned too.
        seed: Seed.
        held_out: Share of the data that is held out.
        recipe: Recipe of ours, if the config has one.
        keeps: Whether the config measures what may be lost.
        rehearses: Whether the config trains on old examples too, or holds the model to its base.
        options: Further options of ours, as they are.
        passed: Arguments of transformers.TrainingArguments that are passed on.
        idle: Keys without an effect on what is learned (logs, saving, hardware), which are left out.
        unknown: Keys that are not understood, or that have no translation.
        notes: Sentences on what was assumed.
    """

    trainer: str
    model: str = ""
    data: tuple[str, ...] = ()
    test: str | None = None
    tuning: Tuning = "full"
    objective: str = "sft"
    lr: float | None = None
    epochs: float | None = None
    max_steps: int | None = None
    rows: int | None = None
    accumulation: int | None = None
    warmup_share: float | None = None
    warmup_steps: int | None = None
    schedule: str | None = None
    rank: int | None = None
    alpha: float | None = None
    dropout: float | None = None
    targets: str | None = None
    frozen: float | None = None
    clip: float | None = None
    weight_decay: float | None = None
    max_length: int | None = None
    over_long: str | None = None
    packing: bool | None = None
    precision: str | None = None
    loss_on: str | None = None
    seed: int | None = None
    held_out: float | None = None
    recipe: str | None = None
    keeps: bool = False
    rehearses: bool = False
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    passed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    idle: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def batch(self) -> int | None:
        """Returns the rows of a step on one device; None if the config does not say."""
        return None if self.rows is None else self.rows * (self.accumulation or 1)

    @property
    def adapts(self) -> bool:
        """Whether an adapter trains."""
        return self.tuning in ("lora", "qlora")


Reader = Callable[[dict[str, Any]], TrainingConfig]


@dataclasses.dataclass(frozen=True)
class Format:
    """The config of one trainer.

    Attributes:
        name: Name of the trainer.
        read: Reads the keys and values of a file.
        marks: Keys that only this trainer has.
        shared: Keys that it shares with others, all of which a config of it may have.
    """

    name: str
    read: Reader
    marks: frozenset[str]
    shared: frozenset[str] = frozenset()


ABOVE_ZERO = frozenset({"lr", "epochs", "rows", "accumulation"})
"""Fields whose numbers are above 0; by the name of the key, since the run would name a setting of ours."""


def with_defaults(values: Mapping[str, Any], defaults: Mapping[str, Any], trainer: str) -> tuple[dict[str, Any], str]:
    """Returns the settings with a trainer's defaults in place of those that are absent, and a note that names them."""
    absent = {key: value for key, value in defaults.items() if values.get(key) is None}
    named = ", ".join(f"{key} {value}" for key, value in absent.items())
    words = "1 setting has the default" if len(absent) == 1 else f"{len(absent)} settings have the defaults"
    return {**values, **absent}, f"{words} of {trainer}: {named}." if absent else ""


def number(values: Mapping[str, Any], key: str) -> float | None:
    """Returns a number; None without one.

    Raises:
        HoldfastError: The value is no number.
    """
    value = values.get(key)
    if value is None:
        return None
    try:
        result = float(value)
    except (TypeError, ValueError):
        result = math.nan
    if isinstance(value, bool) or not math.isfinite(result):
        raise HoldfastError(f"{key}: {value!r} is not a number; correct it.")
    return result


def whole(values: Mapping[str, Any], key: str) -> int | None:
    """Returns a whole number; None without one; raises `HoldfastError` for another value."""
    value = number(values, key)
    if value is not None and value != int(value):
        raise HoldfastError(f"{key}: {values[key]!r} is not a whole number; correct it.")
    return None if value is None else int(value)


def steps_of(values: Mapping[str, Any]) -> int | None:
    """Returns the steps that end a run; None if its passes do, for which trainers write -1."""
    steps = whole(values, "max_steps")
    return None if steps is None or steps < 1 else steps


def warm_up(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of the warm-up: steps, or a share.

    transformers takes steps below 1 for a share, and the ratio where there are no steps.
    """
    steps, share = number(values, "warmup_steps"), number(values, "warmup_ratio")
    if not steps and share is not None:
        return {"warmup_share": share}
    if steps is not None and 0 < steps < 1:
        return {"warmup_share": steps}
    return {"warmup_steps": whole(values, "warmup_steps")}


def first_of(names: tuple[str, ...], key: str, notes: list[str]) -> str | None:
    """Returns the only data set that measures, or the first, with a note that names the others; None without one."""
    if names[1:]:
        notes.append(f"{key}: {names[0]} alone measures the run; left out: {', '.join(names[1:])}.")
    return names[0] if names else None


def share_of(values: Mapping[str, Any], key: str, notes: list[str]) -> float | None:
    """Returns the share of the rows that is held out; None for a number of rows, which has a note."""
    share = number(values, key)
    if share is not None and share >= 1:
        notes.append(f"{key} {share:g} is a number of rows; a tenth of the rows is held out instead.")
        return None
    return share


def eight_bits(key: str) -> str:
    """Returns the note on weights in 8 bits."""
    return f"{key}: weights stay in the 16 bits of their file, not in 8."


def truth(values: Mapping[str, Any], key: str) -> bool | None:
    """Returns a truth value, also from the words of a command line; None without one or for "auto"."""
    value = values.get(key)
    if isinstance(value, str):
        value = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(value.lower())
    return None if value is None else bool(value)


def mapped(values: Mapping[str, Any], names: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    """Returns settings by field, from the key and the type (float, int, bool or str) of each.

    Raises:
        HoldfastError: A value is no number where one is expected, or not above 0 where it must be.
    """
    convert: dict[Any, Callable[[Mapping[str, Any], str], Any]] = {float: number, int: whole, bool: truth}
    found = {field: convert.get(kind, Mapping.get)(values, key) for field, (key, kind) in names.items()}
    for field in ABOVE_ZERO & found.keys():
        if found[field] is not None and found[field] <= 0:
            raise HoldfastError(f"{names[field][0]}: {found[field]:g} is not above 0; correct it.")
    return found


def words_of(value: Any) -> tuple[str, ...]:
    """Returns a list, or names separated by commas or blanks, as names."""
    if value is None:
        return ()
    entries = value if isinstance(value, list) else str(value).replace(",", " ").split()
    return tuple(str(entry) for entry in entries)


def targets_of(value: Any, everything: tuple[str, ...] = ("all", "all-linear")) -> str | None:
    """Returns the modules of an adapter as `LoRA` takes them; None if the config does not say."""
    names = words_of(value)
    if not names:
        return None
    return "all-linear" if len(names) == 1 and names[0] in everything else ",".join(names)


def precision_of(values: Mapping[str, Any], *, bf16: str = "bf16", fp16: str = "fp16") -> str | None:
    """Returns the precision from two switches; None if the config has neither ("auto" counts as bf16)."""
    if str(values.get(bf16)).lower() == "auto" or truth(values, bf16):
        return "bf16"
    if truth(values, fp16):
        return "fp16"
    return "fp32" if bf16 in values or fp16 in values else None
