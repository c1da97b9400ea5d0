"""What type checkers read of the names that are imported when they are asked for: `__init__.pyi`, `functional.pyi`.

`python -m holdfast.report.stubs src/holdfast` writes them from the maps of names; a test holds them to those.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import holdfast
from holdfast import functional
from holdfast.bench.files import write_atomically

NOTE = "# Written by `python -m holdfast.report.stubs src/holdfast`; do not edit."


def stubs() -> dict[str, str]:
    """Returns the text of each stub, by the name of its file."""
    return {"__init__.pyi": _package(), "functional.pyi": _functional()}


def write(folder: str | Path) -> list[Path]:
    """Writes the stubs into the package's folder and returns them; the same code gives the same bytes."""
    for file, text in stubs().items():
        write_atomically(Path(folder) / file, text)
    return [Path(folder) / file for file in stubs()]


def _package() -> str:
    lines = [
        f"from {'holdfast' if home == f'holdfast.{name}' else home} import {name} as {name}"
        for name, home in holdfast._HOME.items()
    ]
    return "\n".join([NOTE, *lines, "", "__version__: str", "__all__: list[str]", "_HOME: dict[str, str]", ""])


def _functional() -> str:
    lines = [f"from {function.__module__} import {name} as {name}" for name, function in functional.FUNCTIONS.items()]
    head = [
        "from collections.abc import Callable",
        "from types import FunctionType",
        "from typing import Any, Literal",
        "",
    ]
    own = [
        'Shape = Literal["per position", "per token", "per weight", "plain"]',
        "FUNCTIONS: dict[str, FunctionType]",
        "__all__: list[str]",
        "",
        f"def shape_of{inspect.signature(functional.shape_of)}: ...".replace("'", ""),
    ]
    return "\n".join([NOTE, *head, *lines, "", *own, ""])


if __name__ == "__main__":
    write(sys.argv[1])
