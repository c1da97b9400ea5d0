"""Finds the items of a suite: in a JSON lines file, or under a name that an installed package offers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from holdfast.data.named import offered
from holdfast.probes.suites import Item, read_items

GROUP = "holdfast.suites"
"""Entry points of this group are functions that take what stands behind the colon and return items, or None."""


def items_of(source: str) -> Sequence[Item] | None:
    """Returns the items that a source names, or None where it names rows or texts instead.

    A file is one of items if it ends in .jsonl and its first line has an `id` and a `suite`.

    Raises:
        HoldfastError: If it is a file of items and one of them is malformed, or a name that its package does not know.
    """
    found = offered(GROUP, source)
    if found is not None:
        make, name = found
        items: Sequence[Item] | None = make(name)
        return items
    path = Path(source).expanduser()
    if path.suffix != ".jsonl" or not path.is_file():
        return None
    try:
        with path.open(encoding="utf-8") as file:
            first = json.loads(next((line for line in file if line.strip()), "null"))
    except (OSError, ValueError):
        return None  # What reads rows says what is wrong with it.
    return read_items(path) if isinstance(first, dict) and {"id", "suite"} <= set(first) else None
