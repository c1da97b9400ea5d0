"""Sources with a name of the form `scheme:name`, which installed packages offer as entry points."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from typing import Any

from holdfast.data.rows import Row

GROUP = "holdfast.sources"
"""Entry points of this group are functions that take what stands behind the colon and return rows."""


def offered(group: str, source: str) -> tuple[Callable[[str], Any], str] | None:
    """Returns what an installed package offers for the scheme of `scheme:name`, and the name; None if there is none."""
    scheme, colon, name = source.partition(":")
    if not (colon and scheme.isidentifier()):
        return None
    found = next(iter(importlib.metadata.entry_points(group=group, name=scheme)), None)
    return None if found is None else (found.load(), name)


def named_rows(source: str) -> Sequence[Row] | None:
    """Returns the rows that `scheme:name` stands for, or None where no installed package offers the scheme.

    Raises:
        HoldfastError: If the package that offers the scheme has nothing of that name.
    """
    found = offered(GROUP, source)
    if found is None:
        return None
    make, name = found
    rows: Sequence[Row] = make(name)
    return rows
