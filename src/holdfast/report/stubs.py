"""Type stubs for the names that are imported lazily: `__init__.pyi`, `functional.pyi`.

`python -m holdfast.report.stubs src/holdfast` writes them from the maps of names; a test checks that they are current.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path

import holdfast
from holdfast import functional
from holdfast.bench.machine.files import write_atomically

NOTE = "# Written by `python -m holdfast.report.stubs src/holdfast`; do not edit."


def stubs() -> dict[str, str]:
    """Returns the text of each stub, by the name of its file."""
    return {"__init__.pyi": _package(), "functional.pyi": _functional()}


def write(folder: str | Path) -> list[Path]:
    """Writes the stubs into the package's folder and returns the files; the same code gives the same bytes."""
    for file, text in stubs().items():
        write_atomically(Path(folder) / file, text)
    return [Path(folder) / file for file in stubs()]


def _package() -> str:
    homes = {name: "holdfast" if home == f"holdfast.{name}" else home for name, home in holdfast._HOME.items()}
    declarations = ["__version__: str", "__all__: list[str]", "_HOME: dict[str, str]"]
    return "\n".join([NOTE, *_imports(homes), "", *declarations, ""])


def _imports(homes: Mapping[str, str]) -> list[str]:
    """Returns a line for each name, in the sorted order of imports."""
    pairs = sorted((home, name) for name, home in homes.items())
    return [f"from {home} import {name} as {name}" for home, name in pairs]


def _functional() -> str:
    lines = _imports({name: function.__module__ for name, function in functional.FUNCTIONS.items()})
    head = [
        "from collections.abc import Callable",
        "from types import FunctionType",
        "from typing import Any, Literal",
        "",
    ]
    declarations = [
        'Shape = Literal["per position", "per token", "per weight", "plain"]',
        "FUNCTIONS: dict[str, FunctionType]",
        "__all__: list[str]",
        "",
        f"def shape_of{inspect.signature(functional.shape_of)}: ...".replace("'", ""),
    ]
    return "\n".join([NOTE, *head, *lines, "", *declarations, ""])


if __name__ == "__main__":
    write(sys.argv[1])
