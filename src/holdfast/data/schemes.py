"""Sources of the form `scheme:name`, which installed packages offer as entry points."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from typing import Any

from holdfast.data.rows import Row

GROUP = "holdfast.sources"
"""Entry points of this group are functions that take the name behind the colon and return rows."""


def offered(group: str, source: str) -> tuple[Callable[[str], Any], str] | None:
    """Returns the function that an installed package offers for the scheme of `scheme:name`, and the name; or None."""
    scheme, colon, name = source.partition(":")
    if not (colon and scheme.isidentifier()):
        return None
    entry = next(iter(importlib.metadata.entry_points(group=group, name=scheme)), None)
    return None if entry is None else (entry.load(), name)


def named_rows(source: str) -> Sequence[Row] | None:
    """Returns the rows of `scheme:name`; None if no installed package offers the scheme.

    Raises:
        HoldfastError: The package that offers the scheme does not know the name.
    """
    offer = offered(GROUP, source)
    if offer is None:
        return None
    make, name = offer
    rows: Sequence[Row] = make(name)
    return rows
