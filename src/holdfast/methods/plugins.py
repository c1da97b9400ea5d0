"""Methods of other packages, which declare them as entry points of the group `holdfast.methods`.

Nothing of such a package is imported before a recipe names its method, so that a broken one stands in nobody's way.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from holdfast.core.errors import HoldfastError
from holdfast.methods import names

GROUP = "holdfast.methods"
"""The group of entry points: `Name = "package.module:Name"`."""


@functools.cache
def _declared(path: tuple[str, ...]) -> dict[str, list[importlib.metadata.EntryPoint]]:
    points: dict[str, list[importlib.metadata.EntryPoint]] = {}
    for point in importlib.metadata.entry_points(group=GROUP):
        points.setdefault(point.name, []).append(point)
    return points


def declared() -> dict[str, list[importlib.metadata.EntryPoint]]:
    """Returns what other packages declare, by the name of the method; looked up once for each `sys.path`."""
    return _declared(tuple(sys.path))


class Table(Mapping[str, type[Any]]):
    """Classes by name: those given, and behind them the methods of other packages, imported when they are asked for.

    Args:
        own: The classes of this package, or what stands for them.
    """

    def __init__(self, own: Mapping[str, type[Any]]) -> None:
        self._own = own
        self._others = {name: point for name, point in declared().items() if name not in own}

    def __getitem__(self, name: str) -> type[Any]:
        """Returns the class of a name.

        Raises:
            KeyError: There is no such method.
            HoldfastError: The method of another package cannot be imported, or is not a method.
        """
        return self._own[name] if name in self._own else foreign(name)

    def __contains__(self, name: object) -> bool:
        """Returns whether there is such a method, without importing it."""
        return name in self._own or name in self._others

    def __iter__(self) -> Iterator[str]:
        """Yields the names, those of this package first."""
        yield from self._own
        yield from self._others

    def __len__(self) -> int:
        """Returns how many there are."""
        return len(self._own) + len(self._others)


def foreign(name: str) -> type[Any]:
    """Returns the method that another package declares under a name.

    Raises:
        KeyError: No package declares it.
        HoldfastError: It cannot be imported, is not a method of that name, or the name is taken.
    """
    from holdfast.core.method import Method

    point, *more = declared()[name]
    where = f"Method {name} of {_package(point)} ({point.value})"
    if name in names.SUMS | names.METHODS:
        raise HoldfastError(f"{where} has the name of a method of Holdfast; give it another.")
    if more:
        raise HoldfastError(f"{where} has the name of one of {_package(more[0])}; uninstall one of the two packages.")
    try:
        cls = point.load()
    except Exception as error:
        raise HoldfastError(f"{where} cannot be imported: {type(error).__name__}: {error}") from error
    if not (isinstance(cls, type) and issubclass(cls, Method) and dataclasses.is_dataclass(cls)):
        raise HoldfastError(f"{where} is no method: give a frozen dataclass that inherits holdfast.Method.")
    if cls.__name__ != name:
        raise HoldfastError(f"{where} is called {cls.__name__} there; give the entry point the name of its class.")
    return cls


def _package(point: importlib.metadata.EntryPoint) -> str:
    return point.dist.name if point.dist else "another package"
