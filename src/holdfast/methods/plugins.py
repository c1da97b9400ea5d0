"""Methods of other packages, which declare them as entry points of the group `holdfast.methods`.

No such package is imported before a recipe names its method, so a broken package causes no error elsewhere.
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
    """Returns the entry points of other packages, by the name of the method; looked up once for each `sys.path`."""
    return _declared(tuple(sys.path))


class Table(Mapping[str, type[Any]]):
    """Classes by name: those of this package, then the methods of other packages, imported on access.

    Args:
        classes: The classes of this package, or their stand-ins.
    """

    def __init__(self, classes: Mapping[str, type[Any]]) -> None:
        self._classes = classes
        self._others = {name: point for name, point in declared().items() if name not in classes}

    def __getitem__(self, name: str) -> type[Any]:
        """Returns the class of a name.

        Raises:
            KeyError: There is no such method.
            HoldfastError: The method of another package cannot be imported, or is not a method.
        """
        return self._classes[name] if name in self._classes else foreign(name)

    def __contains__(self, name: object) -> bool:
        """Returns whether there is such a method, without importing it."""
        return name in self._classes or name in self._others

    def __iter__(self) -> Iterator[str]:
        """Yields the names, those of this package first."""
        yield from self._classes
        yield from self._others

    def __len__(self) -> int:
        """Returns the number of names."""
        return len(self._classes) + len(self._others)


def foreign(name: str) -> type[Any]:
    """Returns the method that another package declares under a name.

    Raises:
        KeyError: No package declares it.
        HoldfastError: The method cannot be imported, is not a method of that name, or the name is taken.
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
        raise HoldfastError(f"{where} is not a method: give a frozen dataclass that inherits holdfast.Method.")
    if cls.__name__ != name:
        raise HoldfastError(f"{where} is the class {cls.__name__}; give the entry point the name of its class.")
    return cls


def _package(point: importlib.metadata.EntryPoint) -> str:
    return point.dist.name if point.dist else "another package"
