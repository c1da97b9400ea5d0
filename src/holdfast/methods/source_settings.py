"""The settings of all methods, read from their source: checks the text of a recipe without importing torch.

Stand-in classes have only the names, settings, defaults and ranges of the methods, so a typo in a recipe gives an error
at once. They are read from the source of the methods, so that nothing is written twice.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
from pathlib import Path
from typing import Any

from holdfast.core.settings import check_settings, setting
from holdfast.core.sums import facts_of, text_of
from holdfast.methods import names
from holdfast.methods.plugins import Table

_ROOM = Path(__file__).parents[1]


FACTS = ("once", "slot", "excludes", "reads", "means", "sees", "asks")
"""Class attributes of `Method` that decide which pairs of methods a recipe may not contain."""


@functools.cache
def _stand_ins() -> dict[str, type[Any]]:
    return {name: _stand_in(name, _file(names.home_of(name))) for name in (*names.SUMS, *names.METHODS)}


def settings_table() -> Table:
    """Returns a stand-in for each method, by name, with its settings and ranges; for other packages the real class."""
    return Table(_stand_ins())


def _stand_in(name: str, file: Path) -> type[Any]:
    tree = _parsed(file)
    written = _class(tree, name)
    fields: list[tuple[str, type[Any], Any]] = [
        (node.target.id, object, _field(node.value))
        for node in written.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and _is_setting(node.value)
    ]
    facts = {"once": "", "slot": "", "excludes": {}, **_inherited(tree, written), **_facts(tree, written)}
    methods = {node.name for node in written.body if isinstance(node, ast.FunctionDef)}
    fields_read = {field for kind in ("reads", "means", "sees") for field in facts.get(kind, ())}
    all_facts = facts_of(name, methods, fields_read, facts.get("asks", ()))
    acts = {"__post_init__": check_settings, "__repr__": text_of, "facts": staticmethod(lambda: all_facts)}
    return dataclasses.make_dataclass(name, fields, frozen=True, repr=False, namespace={**facts, **acts})


def _class(tree: ast.Module, name: str) -> ast.ClassDef:
    (written,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return written


def _inherited(tree: ast.Module, written: ast.ClassDef) -> dict[str, Any]:
    """Returns the facts of the class that a method inherits from, if that class is in `holdfast.methods`."""
    (base,) = (base.id for base in written.bases if isinstance(base, ast.Name))
    homes = {
        alias.name: node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    if not homes.get(base, "").startswith("holdfast.methods."):
        return {}
    above = _parsed(_file(homes[base]))
    return _facts(above, _class(above, base))


def _facts(tree: ast.Module, written: ast.ClassDef) -> dict[str, Any]:
    """Returns the facts that a class declares."""
    constants = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return {
        node.target.id: _value(node.value, constants)
        for node in written.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id in FACTS
    }


def _value(node: ast.expr | None, constants: dict[str, ast.expr]) -> Any:
    """Returns a literal, a dict of literals and constants of the module, or a frozenset of literals."""
    if isinstance(node, ast.Name):
        return _value(constants[node.id], constants)
    if isinstance(node, ast.Dict):
        keys = (ast.literal_eval(key) for key in node.keys if key is not None)
        return {key: _value(value, constants) for key, value in zip(keys, node.values, strict=True)}
    if isinstance(node, ast.Call):  # frozenset({...})
        return frozenset(ast.literal_eval(node.args[0]))
    assert node is not None
    return ast.literal_eval(node)


def _is_setting(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "setting"


def _field(value: ast.expr | None) -> Any:
    """Returns the field of a call of `setting`, from those arguments that are literals."""
    assert isinstance(value, ast.Call)
    given = {keyword.arg or "": keyword.value for keyword in value.keywords}
    read = {key: literal[0] for key, node in given.items() if (literal := _literal(node))}
    default = _literal(value.args[0]) if value.args else ()
    return setting(*default, **{"unit": "", **read})


def _literal(node: ast.expr) -> tuple[Any, ...]:
    """Returns a 1-tuple with the value of a literal, or an empty tuple if `node` is not a literal."""
    try:
        return (ast.literal_eval(node),)
    except ValueError:
        return ()


def _file(module: str) -> Path:
    return _ROOM.joinpath(*module.split(".")[1:]).with_suffix(".py")


def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))
