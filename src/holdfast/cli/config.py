"""Reads the options of a run or a comparison from the flags and a YAML file."""

from __future__ import annotations

import argparse
import dataclasses
import re
from typing import Any, TypeVar

import yaml

from holdfast.bench.given.options import Options
from holdfast.core.errors import HoldfastError

Spec = TypeVar("Spec", bound=Options)


def spec_from(arguments: argparse.Namespace, kind: type[Spec]) -> Spec:
    """Returns the options; a flag takes precedence over the same key in the file of `--config`.

    For `training` and `budget` the two are merged key by key.

    Raises:
        HoldfastError: The file cannot be read, or a key or value is wrong.
    """
    values = read_config(arguments.config) if arguments.config else {}
    names = {field.name for field in dataclasses.fields(kind)}
    flags = {name: value for name, value in vars(arguments).items() if name in names}
    for name, given in flags.items():
        below = values.get(name)
        if isinstance(given, dict) and isinstance(below, dict):
            flags[name] = {**below, **given}
    rest = {key: value for key, value in values.items() if key.replace("-", "_") not in flags}
    return kind.from_dict({**rest, **flags}, arguments.config or "the flags")


def read_config(path: str) -> dict[str, Any]:
    """Returns the keys and values of a flat YAML file.

    Numbers follow YAML 1.2 (`1e-4` is a number), and a repeated key is an error.

    Raises:
        HoldfastError: The file cannot be read, or does not consist of keys and values; the message names the line if
            possible.
    """
    try:
        with open(path, encoding="utf-8") as file:
            loader = _Loader(file)
            try:
                values = loader.get_single_data()
            finally:
                loader.dispose()
    except OSError as error:
        raise HoldfastError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: an invalid date, or not UTF-8
        raise HoldfastError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise HoldfastError(f"{path}: give 'key: value' lines whose keys are the flags of the command.")
    return values


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
