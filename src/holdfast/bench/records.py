"""The schema of a run: what it is given (`RunSpec`) and the atom of what it measures (`ScoreRow`).

`RunSpec` is the only place where the options of a run are written: the flags of the command line, the keys of a YAML
file and the fields of `holdfast.fine_tune` are read off it. Standard library only, so that the command line is quick.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from holdfast.bench.files import append_jsonl, read_jsonl, write_atomically, write_json, write_jsonl
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError, nearest

__all__ = [
    "RunSpec",
    "ScoreRow",
    "append_jsonl",
    "read_jsonl",
    "read_scores",
    "write_atomically",
    "write_json",
    "write_jsonl",
    "write_scores",
]

Moment = Literal["before", "after"]
Role = Literal["learned", "transfer", "retained"]
Split = Literal["watch", "proof"]


def _option(help: str, default: Any = dataclasses.MISSING, *, metavar: str = "", low: float | None = None) -> Any:
    """Returns a field of `RunSpec`: its help, how the value is called in it, and the least number accepted."""
    about = {"help": help, "metavar": metavar, "low": low}
    if default == {}:
        return dataclasses.field(default_factory=dict, metadata=about)
    return dataclasses.field(default=default, metadata=about)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSpec:
    """Everything that makes a run what it is; the help of each option stands in the field's metadata.

    Raises:
        HoldfastError: If a value is of the wrong kind or out of range; names the option and what is accepted.
    """

    model: str = _option("model to fine-tune: a folder, a name on the hub, or ground:base", metavar="MODEL")
    data: str = _option(
        "examples to learn: a .jsonl, .json, .csv, .parquet or .txt file, or a name such as ground:people",
        metavar="FILE",
    )
    test: str | None = _option(
        "examples or items that measure what was learned; without it a share of the data is held out",
        None,
        metavar="FILE",
    )
    recipe: str = _option(
        "methods to train with, as a sum: 'Train(lr=2e-4, epochs=3) + LoRA(rank=16) + MaskTheTarget()'", metavar="SUM"
    )
    keep: tuple[str, ...] = _option(
        "files of texts, examples or items that the model must not get worse at; measured before and after",
        (),
        metavar="FILE",
    )
    budget: dict[str, Any] = _option(
        "what may be lost of what is kept: points=2 (percent of right answers), nll=0.02 (nats per token); with "
        "claim=every of every suite by itself",
        {},
        metavar="KEY=VALUE",
    )
    memory: tuple[str, ...] = _option("old examples that methods may ask for by name", (), metavar="NAME=FILE")
    out: str = _option("folder in which each run gets a folder of its own", "runs", metavar="FOLDER")
    name: str | None = _option("name of the run's folder; chosen from the settings if not given", None, metavar="NAME")
    seed: int = _option("seed of everything random in the run", 0, metavar="N", low=0)
    max_length: int = _option("longest row, in tokens", 512, metavar="TOKENS", low=2)
    batch_size: int = _option("rows per device in one forward pass", 8, metavar="ROWS", low=1)
    raw: bool = _option("leave prompts and completions as they are, without the model's chat template", False)
    loss_on: Literal["completion", "all"] = _option("tokens to learn: those of the completion, or all", "completion")
    over_long: Literal["truncate", "drop"] = _option("what becomes of rows longer than --max-length", "truncate")
    packing: bool = _option("put several short examples into one row", False)
    held_out: float = _option("share of the data held out as a test when --test is not given", 0.1, metavar="SHARE")
    precision: Literal["fp32", "bf16", "fp16"] = _option(
        "number format of the forward pass; the weights being trained are float32 throughout", "fp32"
    )
    resume: bool = _option("go on with a run that was interrupted, from its last checkpoint", False)
    training: dict[str, Any] = _option(
        "anything else, passed untouched to transformers.TrainingArguments", {}, metavar="KEY=VALUE"
    )

    def __post_init__(self) -> None:
        """Checks every value and makes lists of words into tuples."""
        cls: Any = type(self)
        hints = _hints(cls)
        for field in dataclasses.fields(self):
            value = _checked(field, hints[field.name], getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        if not 0 <= self.held_out < 1:
            raise HoldfastError(f"{_flag('held_out')} {self.held_out!r}: give a share from 0 to below 1.")
        if self.name is not None and (self.name in {"", ".", ".."} or set(self.name) & {"/", "\\", "\0"}):
            raise HoldfastError(f"{_flag('name')} {self.name!r}: give the name of a folder, without a path.")
        self.memories()
        self.allowed()

    def allowed(self) -> Budget | None:
        """Returns the budget; None if none is given.

        Raises:
            HoldfastError: If it cannot be held.
        """
        return Budget.from_dict(self.budget) if self.budget else None

    def memories(self) -> dict[str, str]:
        """Returns the path of each memory, by its name.

        Raises:
            HoldfastError: If an entry of `memory` is not `NAME=FILE`, or a name is given twice.
        """
        paths: dict[str, str] = {}
        for entry in self.memory:
            name, equals, path = entry.partition("=")
            if not (name and equals and path):
                raise HoldfastError(f"{_flag('memory')} {entry!r}: give NAME=FILE, as in old=general.jsonl.")
            if name in paths:
                raise HoldfastError(f"{_flag('memory')} {entry!r}: the name {name!r} is taken; choose another.")
            paths[name] = path
        return paths

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as plain JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "the settings") -> Self:
        """Returns the spec made of `values`, whose keys are the flags (`max-length` and `max_length` are the same).

        Args:
            values: Value of each option that is given.
            where: Where they come from ("run.yaml"), for messages.

        Raises:
            HoldfastError: If a key is unknown (the nearest is named), given twice or missing, or a value is wrong.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        given: dict[str, Any] = {}
        for key, value in values.items():
            name = str(key).replace("-", "_")
            if name not in fields:
                raise HoldfastError(f"Unknown key {key!r} in {where}.{nearest(name, fields)}")
            if name in given:
                raise HoldfastError(f"The key {key!r} is given twice in {where}; delete one.")
            given[name] = value
        for name, field in fields.items():
            required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            if required and name not in given:
                raise HoldfastError(f"{_flag(name)} is missing: give the {field.metadata['help'].split(':')[0]}.")
        return cls(**given)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """One item's score, before or after a run.

    Attributes:
        run: Name of the run.
        moment: Whether the base (`before`) or the tuned model (`after`) was asked.
        suite: Name of the set of items.
        role: What the suite is there to show: the skill learned, its transfer to a shifted domain, or what is to stay.
        split: `watch` items may steer a run; `proof` items are read once per model.
        item: Identity of the item within its suite; the same before and after.
        group: What items that are not independent share (the document a question is about); the item if nothing.
        value: The score: finite, in `unit`, summed over `weight` units.
        unit: Unit of `value`: "nats", "points", "1" for a pure number.
        higher_is_better: Whether more is better.
        weight: How many units `value` is a sum over (the tokens of a document); 1 for a score of the item as a whole.
    """

    run: str
    moment: Moment
    suite: str
    role: Role
    split: Split
    item: str
    group: str
    value: float
    unit: str
    higher_is_better: bool
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Raises `HoldfastError` for a value that a score cannot have."""
        where = f"Score of {self.item!r} in {self.suite!r}"
        cls: Any = type(self)
        hints = _hints(cls)
        for field in dataclasses.fields(self):
            value, hint = getattr(self, field.name), hints[field.name]
            if not _is(value, hint):
                raise HoldfastError(f"{where}: {field.name} is {value!r}, which is not {_kind(hint)}.")
        if not math.isfinite(self.value):
            raise HoldfastError(f"{where}: {self.value} is no measurement; leave the row out instead.")
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise HoldfastError(f"{where}: a weight of {self.weight} counts nothing; leave the row out instead.")

    def to_json(self) -> str:
        """Returns the row as one line of JSON, without a newline."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str, where: str = "a score") -> Self:
        """Returns the row that `to_json` wrote.

        Raises:
            HoldfastError: If `line` is not such a row; `where` ("scores.jsonl:7") says in which place.
        """
        try:
            record = json.loads(line)
        except ValueError as error:
            raise HoldfastError(f"{where} is not JSON ({error}).") from error
        if not isinstance(record, dict):
            raise HoldfastError(f"{where} is not a JSON object.")
        return cls.from_dict(record, where)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], where: str = "a score") -> Self:
        """Returns the row with these fields.

        Raises:
            HoldfastError: If a field is unknown, missing or of the wrong kind; `where` says in which place.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        for key in record:
            if key not in fields:
                raise HoldfastError(f"Unknown field {key!r} in {where}.{nearest(str(key), fields)}")
        missing = fields - set(record) - {"weight"}
        if missing:
            raise HoldfastError(f"Missing in {where}: {', '.join(sorted(missing))}.")
        return cls(**record)


def write_scores(path: str | os.PathLike[str], rows: Iterable[ScoreRow]) -> None:
    """Writes `rows` to `path` atomically, one per line; raises `HoldfastError` if it cannot."""
    write_jsonl(path, map(dataclasses.asdict, rows))


def read_scores(path: str | os.PathLike[str]) -> list[ScoreRow]:
    """Returns the rows of `path`; raises `HoldfastError` naming file and line of the first that is none."""
    return [ScoreRow.from_dict(record, f"{path}:{i}") for i, record in enumerate(read_jsonl(path), start=1)]


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    """Returns the types of a record's fields, resolved once per class."""
    return typing.get_type_hints(cls)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _checked(field: dataclasses.Field[Any], hint: Any, value: Any) -> Any:
    """Returns the value of an option, lists made tuples and whole numbers made floats where the type says so."""
    if isinstance(value, list) and typing.get_origin(hint) is tuple:
        value = tuple(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not _is(value, hint):
        raise HoldfastError(f"{_flag(field.name)} {value!r}: give {_kind(hint)}.")
    low = field.metadata["low"]
    if low is not None and value < low:
        raise HoldfastError(f"{_flag(field.name)} {value!r}: give a whole number of at least {low}.")
    return value


def _is(value: Any, hint: Any) -> bool:
    """Returns whether `value` is of the type `hint`, for the few kinds of types that records have."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if origin is types.UnionType:
        return any(_is(value, argument) for argument in arguments)
    if origin is tuple:
        return isinstance(value, tuple) and all(_is(entry, arguments[0]) for entry in value)
    if origin is dict:
        return isinstance(value, dict) and all(isinstance(key, str) for key in value)
    if hint in (int, float):
        return isinstance(value, int if hint is int else (int, float)) and not isinstance(value, bool)
    if hint is str:
        return isinstance(value, str) and value != ""
    return isinstance(value, hint)


def _kind(hint: Any) -> str:
    """Returns the type `hint` in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, arguments))
    if origin is types.UnionType:
        return _kind(arguments[0])
    words = {str: "a word", int: "a whole number", float: "a number", bool: "true or false"}
    if hint in words:
        return words[hint]
    return "a list of words" if origin is tuple else "keys and values"
