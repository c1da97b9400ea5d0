"""Options of a command as a dataclass: every field is a flag, a key of a YAML file and an argument in Python.

This module imports the standard library only, so that the command line starts fast.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Self

from holdfast.core.errors import HoldfastError, nearest


def option(
    help: str,
    default: Any = dataclasses.MISSING,
    *,
    metavar: str = "",
    low: float | None = None,
    below: float | None = None,
) -> Any:
    """Returns a dataclass field with its help text, the name of its value, its least value, and what it is below."""
    about = {"help": help, "metavar": metavar, "low": low, "below": below}
    if default == {}:
        return dataclasses.field(default_factory=dict, metadata=about)
    return dataclasses.field(default=default, metadata=about)


def option_of_run(cls: type[Options], name: str) -> Any:
    """Returns an option of `cls` that a finished run supplies where nobody gives it; until that is read it is None."""
    field = next(field for field in dataclasses.fields(cls) if field.name == name)
    usual = "" if isinstance(field.default, bool) else f" (that of the run, or {field.default})"
    about = {**field.metadata, "help": field.metadata["help"] + usual, "otherwise": field.default}
    return dataclasses.field(default=None, metadata=about)


def default_of(field: dataclasses.Field[Any]) -> Any:
    """Returns what holds for an option that neither the user nor a run gives."""
    return field.metadata.get("otherwise", field.default)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Base class of the options of a command.

    Raises:
        HoldfastError: A value has the wrong type or is out of range; names the option and the accepted values.
    """

    def __post_init__(self) -> None:
        """Checks every value, and turns lists into tuples."""
        cls: Any = type(self)
        hints = hints_of(cls)
        for field in dataclasses.fields(self):
            value = _checked(field, hints[field.name], getattr(self, field.name))
            if field.name == "out" and value is not None:  # so that all writers use the same folder
                value = os.path.expanduser(value)
            object.__setattr__(self, field.name, value)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as plain JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "the settings") -> Self:
        """Returns the options in `values`, whose keys are the flags (`max-length` is `max_length`).

        Args:
            values: Values by option.
            where: Their source ("run.yaml"), for messages.

        Raises:
            HoldfastError: A key is unknown (names the nearest), given twice or missing, or a value is wrong.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        fields_given: dict[str, Any] = {}
        for key, value in values.items():
            name = str(key).replace("-", "_")
            if name not in fields:
                close = nearest(name, fields)
                other = f" Is it another trainer's? holdfast plan --check {where} reads such configs."
                raise HoldfastError(f"Unknown key {key!r} in {where}.{close or (other if '.' in where else '')}")
            if name in fields_given:
                raise HoldfastError(f"The key {key!r} is given twice in {where}; delete one.")
            fields_given[name] = value
        for name, field in fields.items():
            required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            if required and name not in fields_given:
                raise HoldfastError(f"{flag_of(name)} is missing: give the {field.metadata['help'].split(':')[0]}.")
        return cls(**fields_given)


@functools.cache
def hints_of(cls: type) -> dict[str, Any]:
    """Returns the types of the fields of a dataclass, resolved once per class."""
    return typing.get_type_hints(cls)


def flag_of(name: str) -> str:
    """Returns the flag of a field."""
    return "--" + name.replace("_", "-")


def _checked(field: dataclasses.Field[Any], hint: Any, value: Any) -> Any:
    """Returns the checked value of an option; lists become tuples and integers floats where the type says so."""
    if isinstance(value, list) and typing.get_origin(hint) is tuple:
        value = tuple(value)
    if typing.get_origin(hint) is tuple and isinstance(value, tuple) and typing.get_args(hint)[0] is float:
        value = tuple(map(_as_float, value))
    if hint is float:
        value = _as_float(value)
    if value is None and "otherwise" in field.metadata:
        return None
    if not matches_type(value, hint):
        raise HoldfastError(f"{flag_of(field.name)} {value!r}: give {describe_type(hint)}.")
    if value is not None:
        _check_range(field, value)
    return value


def _check_range(field: dataclasses.Field[Any], value: Any) -> None:
    """Raises `HoldfastError` for a number that is too small or too large."""
    low, below = field.metadata["low"], field.metadata["below"]
    if low is not None and value < low:
        raise HoldfastError(f"{flag_of(field.name)} {value!r}: give a whole number of at least {low}.")
    if below is not None and value >= below:
        raise HoldfastError(f"{flag_of(field.name)} {value!r}: give a whole number below {below}.")


def _as_float(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def matches_type(value: Any, hint: Any) -> bool:
    """Returns whether `value` has the type `hint`, for the few types that options and records use."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if origin is types.UnionType:
        return any(matches_type(value, argument) for argument in arguments)
    if origin is tuple:
        return isinstance(value, tuple) and all(matches_type(entry, arguments[0]) for entry in value)
    if origin is dict:
        return isinstance(value, dict) and all(isinstance(key, str) for key in value)
    return _is_plain(value, hint)


def _is_plain(value: Any, hint: type) -> bool:
    """Returns whether a value has a plain type; an empty string does not count as str, nor a bool as a number."""
    if hint in (int, float):
        return isinstance(value, int if hint is int else (int, float)) and not isinstance(value, bool)
    return isinstance(value, hint) and (hint is not str or value != "")


def describe_type(hint: Any) -> str:
    """Returns the type `hint` as text."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, arguments))
    if origin is types.UnionType:
        return describe_type(arguments[0])
    if origin is tuple and arguments[0] in (int, float):
        return "a list of whole numbers" if arguments[0] is int else "a list of numbers"
    words = {str: "a word", int: "a whole number", float: "a number", bool: "true or false"}
    if hint in words:
        return words[hint]
    return "a list of words" if origin is tuple else "keys and values"
