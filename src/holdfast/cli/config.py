"""Reads the options of a run or a comparison from the flags and a YAML file."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TypeVar

from holdfast.bench.given.options import Options
from holdfast.bench.given.yaml_files import read_config
from holdfast.core.errors import HoldfastError

Spec = TypeVar("Spec", bound=Options)


def spec_from(arguments: argparse.Namespace, kind: type[Spec]) -> Spec:
    """Returns the options; a flag takes precedence over the same key in the file of `--config`.

    For `training` and `budget` the two are merged key by key.

    Raises:
        HoldfastError: The file has no name or cannot be read, or a key or value is wrong.
    """
    if arguments.config == "":  # as of a variable that is not set; without the file, the rest would run as it is
        raise HoldfastError("--config '': give the name of a file, or leave the flag out.")
    values = read_config(arguments.config) if arguments.config else {}
    names = {field.name for field in dataclasses.fields(kind)}
    flags = {name: value for name, value in vars(arguments).items() if name in names}
    for name, given in flags.items():
        below = values.get(name)
        if isinstance(given, dict) and isinstance(below, dict):
            flags[name] = {**below, **given}
    rest = {key: value for key, value in values.items() if key.replace("-", "_") not in flags}
    return kind.from_dict({**rest, **flags}, arguments.config or "the flags")
