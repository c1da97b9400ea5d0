"""Records: dataclasses that are written as JSON and read back with checked keys and types. Standard library only."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from holdfast.core.errors import HoldfastError

FIRST = 1
"""The version of a record without a version, written before records had one."""


def column(key: str = "", default: Any = dataclasses.MISSING, *, null: Literal["", "none", "infinite"] = "") -> Any:
    """Returns a dataclass field of a record.

    Args:
        key: Name in the JSON; the name of the field if "".
        default: Value if the JSON lacks the key.
        null: Meaning of `null` in the JSON: None ("none") or infinity ("infinite"). With "", None is left out instead.
    """
    return dataclasses.field(default=default, metadata={"key": key, "null": null})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """Base class of records. A value that was not measured is None, and its key is not written.

    Unknown keys are ignored, because a later release may add keys without a new version.
    """

    def to_dict(self) -> dict[str, Any]:
        """Returns the record as plain JSON values."""
        return {key: value for field in dataclasses.fields(self) for key, value in _written(field, self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "the record") -> Self:
        """Returns the record that `to_dict` wrote.

        Args:
            values: Keys and values of the JSON.
            where: Name of the file, for messages.

        Raises:
            HoldfastError: A key is missing, or a value has the wrong type; names `where` and the key.
        """
        return cls._read(values, where, "")

    @classmethod
    def _read(cls, values: Any, where: str, path: str) -> Self:
        if not isinstance(values, Mapping):
            raise _wrong(where, path, values, "keys and values")
        given: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            given.update(_read_field(field, hints_of(cls)[field.name], values, where, path))
        return cls(**given)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Versioned(Record):
    """A record that fills a file and has a version.

    Attributes:
        version: Version of the format. It grows if a key disappears or changes its meaning.
    """

    VERSION: ClassVar[int] = FIRST
    FILE: ClassVar[str]
    """Name of the file."""

    version: int = FIRST

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "the record") -> Self:
        """Returns the record that `to_dict` wrote; one without a version has version 1.

        Args:
            values: Keys and values of the JSON.
            where: Name of the file, for messages.

        Raises:
            HoldfastError: The version is newer, a key is missing, or a value has the wrong type; names `where`.
        """
        version = values.get("version", FIRST) if isinstance(values, Mapping) else FIRST
        if isinstance(version, int) and version > cls.VERSION:
            raise HoldfastError(
                f"{where} has version {version}, and this Holdfast reads versions up to {cls.VERSION}; install a newer"
                " Holdfast."
            )
        return cls._read(values, where, "")

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Reads a record from a file, or from the folder of a run or of a comparison.

        Args:
            path: The file or its folder.

        Raises:
            HoldfastError: As `from_dict` does, or the file cannot be read.
        """
        file = Path(path).expanduser()
        file = file / cls.FILE if file.is_dir() else file
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise HoldfastError(f"{file} cannot be read ({error.strerror or error}); make it again.") from error
        except ValueError as error:
            raise HoldfastError(f"{file} is not JSON ({error}); make it again.") from error
        return cls.from_dict(values, str(file))


def hints_of(record: type[Record]) -> dict[str, Any]:
    """Returns the types of the fields of a record, resolved once per class."""
    cls: Any = record
    return _resolved(cls)


_resolved = functools.cache(typing.get_type_hints)


def key_of(field: dataclasses.Field[Any]) -> str:
    """Returns the name of a field in the JSON."""
    return field.metadata.get("key") or field.name


def _written(field: dataclasses.Field[Any], record: Record) -> Iterable[tuple[str, Any]]:
    """Returns the key and value of a field; nothing for a value that was not measured."""
    value, null = getattr(record, field.name), field.metadata.get("null", "")
    if null == "infinite" and value is not None and math.isinf(value):
        return [(key_of(field), None)]
    if (value is None and null != "none") or (value == () == field.default):
        return []
    return [(key_of(field), _plain(value))]


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return {key: _plain(entry) for key, entry in value.items()} if isinstance(value, Mapping) else value


def _read_field(
    field: dataclasses.Field[Any], hint: Any, values: Mapping[str, Any], where: str, path: str
) -> Iterable[tuple[str, Any]]:
    """Returns the name and value of a field; nothing if the key is missing and the default applies."""
    key, null = key_of(field), field.metadata.get("null", "")
    key_path = f"{path}.{key}" if path else key
    if key not in values:
        if field.default is dataclasses.MISSING:
            raise HoldfastError(f"{where}: the key '{key_path}' is missing; make it again.")
        return []
    if values[key] is None and null:
        return [(field.name, math.inf if null == "infinite" else None)]
    return [(field.name, _value(values[key], hint, where, key_path))]


def _value(value: Any, hint: Any, where: str, path: str) -> Any:
    """Converts a JSON value to the type `hint`."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):  # `X | None`; None is written only if `null` says so
        return _value(value, typing.get_args(hint)[0], where, path)
    if origin in _READ:
        return _READ[origin](value, typing.get_args(hint), where, path)
    if issubclass(hint, Record):
        return hint._read(value, where, path)
    if not _is_plain(value, hint):
        raise _wrong(where, path, value, _WORDS[hint])
    return value


def _is_plain(value: Any, hint: type) -> bool:
    kinds = (int, float) if hint is float else hint
    return isinstance(value, kinds) and (hint is bool or not isinstance(value, bool))


def _read_tuple(value: Any, arguments: tuple[Any, ...], where: str, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _wrong(where, path, value, "a list")
    return tuple(_value(entry, arguments[0], where, f"{path}[{i}]") for i, entry in enumerate(value))


def _read_mapping(value: Any, arguments: tuple[Any, ...], where: str, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(where, path, value, "keys and values")
    return {key: _value(entry, arguments[1], where, f"{path}.{key}") for key, entry in value.items()}


def _read_literal(value: Any, arguments: tuple[Any, ...], where: str, path: str) -> Any:
    if value not in arguments:
        raise _wrong(where, path, value, f"one of {', '.join(map(repr, arguments))}")
    return value


_READ: dict[Any, Callable[[Any, tuple[Any, ...], str, str], Any]] = {
    tuple: _read_tuple,
    Mapping: _read_mapping,
    Literal: _read_literal,
}
_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def _wrong(where: str, path: str, value: Any, words: str) -> HoldfastError:
    text = repr(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    if not path:
        return HoldfastError(f"{where} holds {text}, which is not a record: it must be {words}.")
    return HoldfastError(f"{where}: the key '{path}' is {text}, and must be {words}.")
