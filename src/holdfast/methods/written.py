"""The settings of all methods as their source writes them: what a recipe's text may say, without importing torch.

A typo in a recipe is answered at once by classes that have the names, settings, defaults and ranges of the methods and
nothing else. They are read from the source of the methods themselves, so that nothing is written twice.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from holdfast.core.settings import check_settings, setting
from holdfast.core.sums import text_of

_HERE = Path(__file__).parent


@functools.cache
def settings_table() -> dict[str, type[Any]]:
    """Returns a dataclass for each method of the table, by name, with its settings and their ranges."""
    tree = _parsed(_HERE / "table.py")
    where = {
        name.name: _HERE.joinpath(*(node.module or "").split(".")[2:]).with_suffix(".py")
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    return {name: _stand_in(name, where[name]) for name in _listed(tree)}


def _listed(tree: ast.Module) -> Iterator[str]:
    """Yields the names in the tables, `SUMS` first, as the recipe parser has them."""
    tables = {
        node.target.id: node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    for table in ("SUMS", "METHODS"):
        value = tables[table]
        assert isinstance(value, ast.Tuple)
        yield from (entry.id for entry in value.elts if isinstance(entry, ast.Name))


def _stand_in(name: str, file: Path) -> type[Any]:
    tree = _parsed(file)
    written = _class(tree, name)
    fields: list[tuple[str, type[Any], Any]] = [
        (node.target.id, object, _field(node.value))
        for node in written.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and _is_setting(node.value)
    ]
    excludes = _excludes(tree, written)
    if excludes is None and any(isinstance(base, ast.Name) and base.id == "Adapter" for base in written.bases):
        excludes = _of_adapters()
    acts = {"__post_init__": check_settings, "__repr__": text_of, "excludes": excludes or {}}
    return dataclasses.make_dataclass(name, fields, frozen=True, repr=False, namespace=acts)


def _class(tree: ast.Module, name: str) -> ast.ClassDef:
    (written,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return written


@functools.cache
def _of_adapters() -> dict[str, str] | None:
    """Returns what every adapter that says nothing else makes no sense beside."""
    tree = _parsed(_HERE / "adapter.py")
    return _excludes(tree, _class(tree, "Adapter"))


def _excludes(tree: ast.Module, written: ast.ClassDef) -> dict[str, str] | None:
    """Returns what a class says that it makes no sense beside; None if it says nothing."""
    constants = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in written.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "excludes":
            return dict(_pairs(node.value, constants)) if node.value is not None else {}
    return None


def _pairs(node: ast.expr, constants: dict[str, ast.expr]) -> Iterator[tuple[str, str]]:
    """Yields the keys and values of a dict of literals, also by `dict.fromkeys`, one within the other."""
    if isinstance(node, ast.Call):
        names, reason = (constants[one.id] if isinstance(one, ast.Name) else one for one in node.args)
        yield from dict.fromkeys(ast.literal_eval(names), ast.literal_eval(reason)).items()
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                yield from _pairs(value, constants)
            else:
                yield ast.literal_eval(key), ast.literal_eval(value)


def _is_setting(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "setting"


def _field(value: ast.expr | None) -> Any:
    """Returns the field that a call of `setting` makes, as far as it is written in literals."""
    assert isinstance(value, ast.Call)
    given = {keyword.arg or "": keyword.value for keyword in value.keywords}
    read = {key: literal[0] for key, node in given.items() if (literal := _literal(node))}
    default = _literal(value.args[0]) if value.args else ()
    return setting(*default, **{"unit": "", **read})


def _literal(node: ast.expr) -> tuple[Any, ...]:
    """Returns a literal as the only entry, nothing for what is none."""
    try:
        return (ast.literal_eval(node),)
    except ValueError:
        return ()


def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))
