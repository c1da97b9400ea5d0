"""Sources with a name of the form `scheme:name`, which installed packages offer as entry points."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence

from holdfast.data.rows import Row

GROUP = "holdfast.sources"
"""Entry points of this group are functions that take what stands behind the colon and return rows."""


def named_rows(source: str) -> Sequence[Row] | None:
    """Returns the rows that `scheme:name` stands for, or None where no installed package offers the scheme.

    Raises:
        HoldfastError: If the package that offers the scheme has nothing of that name.
    """
    scheme, colon, name = source.partition(":")
    if not (colon and scheme.isidentifier()):
        return None
    offered = importlib.metadata.entry_points(group=GROUP, name=scheme)
    found = next(iter(offered), None)
    rows: Sequence[Row] | None = None if found is None else found.load()(name)
    return rows
