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
    (written,) = (node for node in _parsed(file).body if isinstance(node, ast.ClassDef) and node.name == name)
    fields: list[tuple[str, type[Any], Any]] = [
        (node.target.id, object, _field(node.value))
        for node in written.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and _is_setting(node.value)
    ]
    acts = {"__post_init__": check_settings, "__repr__": text_of, "excludes": _excludes(written)}
    return dataclasses.make_dataclass(name, fields, frozen=True, repr=False, namespace=acts)


def _excludes(written: ast.ClassDef) -> dict[str, str]:
    """Returns what a method says that it makes no sense beside; an adapter that says nothing, any other adapter."""
    for node in written.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "excludes":
            return dict(_literal(node.value)[0]) if node.value is not None and _literal(node.value) else {}
    if any(isinstance(base, ast.Name) and base.id == "Adapter" for base in written.bases):
        return _adapters()
    return {}


@functools.cache
def _adapters() -> dict[str, str]:
    """Returns `dict.fromkeys(ADAPTERS, reason)` as the class of all adapters writes it."""
    tree = _parsed(_HERE / "adapter.py")
    (names,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "ADAPTERS"
    )
    (made,) = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "fromkeys"
    )
    return dict.fromkeys(names, ast.literal_eval(made.args[1]))


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
