"""Reads and writes flat YAML files of settings."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from holdfast.bench.machine.files import write_atomically
from holdfast.core.errors import HoldfastError


def read_config(path: str) -> dict[str, Any]:
    """Returns the keys and values of a flat YAML file, or of a JSON file (whose tabs YAML refuses).

    Numbers follow YAML 1.2 (`1e-4` is a number), and a repeated key is an error.

    Raises:
        HoldfastError: The file cannot be read, or does not consist of keys and values; the message names the line if
            possible.
    """
    try:
        with open(os.path.expanduser(path), encoding="utf-8-sig") as file:
            text = file.read()
        values = json.loads(text, object_pairs_hook=_once) if path.endswith(".json") else _loaded(text)
    except OSError as error:
        raise HoldfastError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: an invalid date, or not UTF-8
        kind = "JSON" if path.endswith(".json") else "YAML"
        raise HoldfastError(f"{path} is not {kind}: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise HoldfastError(f"{path}: give 'key: value' lines whose keys are the flags of the command.")
    return values


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the object of JSON with these keys and values; raises `ValueError` for a repeated key."""
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {key!r} is given twice")
        values[key] = value
    return values


def _loaded(text: str) -> Any:
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """Loads plain values only, numbers as in YAML 1.2, and no repeated key."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Returns a mapping; raises an error for a repeated key."""
        seen = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode):
                if key_node.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key_node.value!r} is given twice", key_node.start_mark
                    )
                seen.add(key_node.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def as_yaml(values: Mapping[str, Any], comments: Sequence[str] = ()) -> str:
    """Returns values as YAML, after comments; `read_config` reads the same values back."""
    lines = [f"# {line}".rstrip() for line in comments]
    text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=10_000)
    return "\n".join([*lines, text])


def write_new(path: str, text: str) -> None:
    """Writes a file that does not exist yet.

    Raises:
        HoldfastError: It exists, or cannot be written.
    """
    if os.path.exists(os.path.expanduser(path)):
        raise HoldfastError(f"{path} exists; choose another file, or delete it.")
    write_atomically(os.path.expanduser(path), text)
