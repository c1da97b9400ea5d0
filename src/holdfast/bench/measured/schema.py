"""Records as dataclasses: written as plain JSON, read back with every key and type checked. Standard library only."""

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
"""The version of a record that names none: it was written before records had one."""


def column(key: str = "", default: Any = dataclasses.MISSING, *, null: Literal["", "none", "infinite"] = "") -> Any:
    """Returns a field of a record.

    Args:
        key: What it is called in the JSON; its own name if "".
        default: Its value where the JSON lacks it.
        null: What `null` in the JSON stands for: None, or a number without bound. With "", None is left out instead.
    """
    return dataclasses.field(default=default, metadata={"key": key, "null": null})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """What records have in common: what was not measured is None here, and is not written.

    A key that this version does not know is passed over: a later one may say more under the same number.
    """

    def to_dict(self) -> dict[str, Any]:
        """Returns the record as plain JSON values."""
        return {key: value for field in dataclasses.fields(self) for key, value in _written(field, self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "the record") -> Self:
        """Returns the record that `to_dict` wrote.

        Args:
            values: Its keys and values.
            where: The file that they come from, for messages.

        Raises:
            HoldfastError: A key is missing, or its value is of another type; names `where` and the key.
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
    """A record that is a file of its own, and says of which version it is.

    Attributes:
        version: Number of the form in which the record is written. It grows where a key goes or means something else.
    """

    VERSION: ClassVar[int] = FIRST
    FILE: ClassVar[str]
    """Name of the file in the folder that it belongs to."""

    version: int = FIRST

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "the record") -> Self:
        """Returns the record that `to_dict` wrote, or that was written before records had a version.

        Args:
            values: Its keys and values.
            where: The file that they come from, for messages.

        Raises:
            HoldfastError: It is of a newer version, a key is missing, or a value is of another type; names `where`.
        """
        version = values.get("version", FIRST) if isinstance(values, Mapping) else FIRST
        if isinstance(version, int) and version > cls.VERSION:
            raise HoldfastError(
                f"{where} is of version {version}, and this Holdfast reads records up to version {cls.VERSION}; install"
                " a newer Holdfast."
            )
        return cls._read(values, where, "")

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Returns the record in a file, or in the folder of a run or of a comparison.

        Args:
            path: The file, or the folder that it lies in.

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
    """Returns the types of a record's fields, resolved once per class."""
    own: Any = record
    return _resolved(own)


_resolved = functools.cache(typing.get_type_hints)


def key_of(field: dataclasses.Field[Any]) -> str:
    """Returns what a field is called in the JSON."""
    return field.metadata.get("key") or field.name


def _written(field: dataclasses.Field[Any], record: Record) -> Iterable[tuple[str, Any]]:
    """Returns the key and value of a field, or nothing where it holds nothing."""
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
        return [_plain(one) for one in value]
    return {key: _plain(one) for key, one in value.items()} if isinstance(value, Mapping) else value


def _read_field(
    field: dataclasses.Field[Any], hint: Any, values: Mapping[str, Any], where: str, path: str
) -> Iterable[tuple[str, Any]]:
    """Returns the name and value of a field; nothing where its default is to be taken."""
    key, null = key_of(field), field.metadata.get("null", "")
    own = f"{path}.{key}" if path else key
    if key not in values:
        if field.default is dataclasses.MISSING:
            raise HoldfastError(f"{where}: the key '{own}' is missing; make it again.")
        return []
    if values[key] is None and null:
        return [(field.name, math.inf if null == "infinite" else None)]
    return [(field.name, _value(values[key], hint, where, own))]


def _value(value: Any, hint: Any, where: str, path: str) -> Any:
    """Returns a value of JSON as one of the type `hint`."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):  # `X | None`; None is never written, but for where `null` says so
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
    return tuple(_value(one, arguments[0], where, f"{path}[{i}]") for i, one in enumerate(value))


def _read_mapping(value: Any, arguments: tuple[Any, ...], where: str, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(where, path, value, "keys and values")
    return {key: _value(one, arguments[1], where, f"{path}.{key}") for key, one in value.items()}


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
    said = repr(value)
    said = said if len(said) <= 60 else said[:57] + "..."
    if not path:
        return HoldfastError(f"{where} holds {said}, which is not a record: it must be {words}.")
    return HoldfastError(f"{where}: the key '{path}' is {said}, and must be {words}.")
