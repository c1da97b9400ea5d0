"""Finds the items of a suite: in a JSON lines file, or under a name that an installed package offers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from holdfast.core.errors import HoldfastError
from holdfast.data.files import records_of, suffix_of
from holdfast.data.named import offered
from holdfast.probes.suites import Item, read_items

GROUP = "holdfast.suites"
"""Entry points of this group are functions that take what stands behind the colon and return items, or None."""


def items_of(source: str) -> Sequence[Item] | None:
    """Returns the items that a source names, or None where it names rows or texts instead.

    A file of JSON (.jsonl, .ndjson, .json, also .gz) is one of items if its first record has an `id` and a `suite`, or
    a `check` or `choices` and no `completion`.

    Raises:
        HoldfastError: If it is a file of items and one of them is malformed, or a name that its package does not know.
    """
    found = offered(GROUP, source)
    if found is not None:
        make, name = found
        items: Sequence[Item] | None = make(name)
        return items
    path = Path(source).expanduser()
    if not path.is_file() or suffix_of(path) not in (".jsonl", ".ndjson", ".json"):
        return None
    try:
        _, first = next(records_of(path, path.name), ("", None))
    except HoldfastError:
        return None  # What reads rows says what is wrong with it.
    return read_items(path) if isinstance(first, dict) and _is_item(set(first)) else None


def _is_item(fields: set[str]) -> bool:
    return {"id", "suite"} <= fields or (bool({"check", "choices"} & fields) and "completion" not in fields)
