"""The classes of all methods: those of this package (`holdfast.methods.names`) and those of other packages.

Named sums have a separate table, because a recipe contains their parts in their place.
"""

from __future__ import annotations

import importlib

from holdfast.core.method import Method
from holdfast.methods import names
from holdfast.methods.plugins import Table


def _class(name: str) -> type[Method]:
    cls: type[Method] = getattr(importlib.import_module(names.home_of(name)), name)
    return cls


SUMS: tuple[type[Method], ...] = tuple(map(_class, names.SUMS))

METHODS: tuple[type[Method], ...] = tuple(map(_class, names.METHODS))


def known() -> Table:
    """Returns all sums and methods by name, first those of this package, then those of other packages."""
    return Table({cls.__name__: cls for cls in (*SUMS, *METHODS)})
