"""The text of a recipe as a sum of named settings: only names, literal settings and `+` are read; nothing runs."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.core.errors import HoldfastError, nearest


def read_sum(text: str, table: Mapping[str, type[Any]]) -> list[Any]:
    """Returns what a text such as "Train(lr=2e-4) + LoRA(rank=16)" makes of the classes of a table, in order.

    Args:
        text: The recipe.
        table: Dataclasses by name.

    Raises:
        HoldfastError: Not such a text; an unknown method or setting (with the nearest name); a value out of its range.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        at = f" at column {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        raise HoldfastError(f'Recipe {text!r} cannot be read{at}; write it like "LoRA(rank=16) + Finch()".') from None
    return [_made(node, text, table) for node in _summands(tree.body)]


def refuse_pairs(methods: Sequence[Any]) -> None:
    """Raises `HoldfastError` for a pair of methods that makes no sense, with the reason (their `excludes`)."""
    for i, method in enumerate(methods):
        for other in (*methods[:i], *methods[i + 1 :]):
            reason = method.excludes.get(type(other).__name__)
            if reason is not None:
                raise HoldfastError(f"{method!r} + {other!r}: {reason}")


def text_of(method: Any) -> str:
    """Returns the text of one method, as `read_sum` reads it: only settings off their default."""
    shown = [
        f"{f.name}={getattr(method, f.name)!r}"
        for f in dataclasses.fields(method)
        if getattr(method, f.name) != f.default
    ]
    return f"{type(method).__name__}({', '.join(shown)})"


def _summands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_summands(node.left), *_summands(node.right)]
    return [node]


def _made(node: ast.expr, text: str, table: Mapping[str, type[Any]]) -> Any:
    written = ast.unparse(node)
    name = node.func if isinstance(node, ast.Call) else node
    if not isinstance(name, ast.Name):
        raise HoldfastError(
            f"Recipe {text!r}: {written!r} is not a method; write methods joined by +, like LoRA(rank=16)."
        )
    if name.id not in table:
        hint = nearest(name.id, table) or f" Known: {', '.join(table)}."
        raise HoldfastError(f"Recipe {text!r}: there is no method {name.id!r}.{hint}")
    cls = table[name.id]
    if not isinstance(node, ast.Call):
        raise HoldfastError(f"Recipe {text!r}: write {name.id}(), with brackets.")
    fields = [f.name for f in dataclasses.fields(cls)]
    if len(node.args) > len(fields):
        raise HoldfastError(f"Recipe {text!r}: {name.id} takes {len(fields)} settings ({', '.join(fields)}).")
    given: dict[str, Any] = {}
    for key, value in [*zip(fields, node.args, strict=False), *((k.arg, k.value) for k in node.keywords)]:
        if key not in fields:
            known = f" It takes {', '.join(fields)}." if fields else " It takes none."
            raise HoldfastError(
                f"Recipe {text!r}: {name.id} has no setting {key!r}.{nearest(key or '', fields) or known}"
            )
        if key in given:
            raise HoldfastError(f"Recipe {text!r}: {name.id} is given {key!r} twice.")
        given[key] = _literal(value, f"Recipe {text!r}: {name.id}({key}={ast.unparse(value)})")
    return cls(**given)


def _literal(value: ast.expr, where: str) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError):
        raise HoldfastError(f"{where} must be a plain number, text or None.") from None
