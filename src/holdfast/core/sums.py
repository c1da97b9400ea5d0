"""Reads the text of a recipe: a sum of named methods with literal settings. It evaluates nothing."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from holdfast.core.errors import HoldfastError, nearest

SLOTS = {"adapter": "a model takes one adapter at a time; give one of them."}
"""Error text for a second method in a slot; other packages may define further slots."""


def read_sum(text: str, table: Mapping[str, type[Any]]) -> list[Any]:
    """Returns the instances, in order, that a text such as "Train(lr=2e-4) + LoRA(rank=16)" describes.

    Args:
        text: The recipe.
        table: Dataclasses by name.

    Raises:
        HoldfastError: The text is not such a sum, a method or setting is unknown (with the nearest name), or a value
            is out of its range.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        at = f" at column {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        raise HoldfastError(f'Recipe {text!r} cannot be read{at}; write it like "LoRA(rank=16) + Finch()".') from None
    return [_made(node, text, table) for node in _summands(tree.body)]


def refuse_pairs(methods: Sequence[Any]) -> None:
    """Raises `HoldfastError` with the reason if a pair of methods makes no sense."""
    for i, method in enumerate(methods):
        for other in (*methods[:i], *methods[i + 1 :]):
            reason = refusal(type(method), type(other))
            if reason:
                raise HoldfastError(f"{method!r} + {other!r}: {reason}")


def refusal(method: Any, other: Any) -> str:
    """Returns the reason why a method class excludes another; "" if it does not.

    The other class may still exclude this one; `clash` tests both.
    """
    if method is other and method.once:
        return str(method.once)
    if method.slot and method.slot == other.slot:
        return SLOTS.get(method.slot, f"a recipe has one place for {method.slot}; give one of them.")
    facts = other.facts()
    return next((reason for fact, reason in method.excludes.items() if fact in facts), "")


def clash(method: Any, other: Any) -> str:
    """Returns the reason why two method classes make no sense together; "" if they do."""
    return refusal(method, other) or refusal(other, method)


def facts_of(name: str, hooks: Iterable[str], fields: Iterable[str], asks: Iterable[str]) -> frozenset[str]:
    """Returns the facts of a method that the `excludes` of another may name (see `holdfast.core.method.Method.facts`).

    Args:
        name: Its class name.
        hooks: The hooks at which it acts.
        fields: The fields of `Tokens` in its `reads`, `means` and `sees`.
        asks: Its other requests to the trainer.
    """
    fields = set(fields)
    base = {"base_*"} if any(field.startswith("base_") for field in fields) else set()
    return frozenset({name, *hooks, *fields, *asks, *base})


def text_of(method: Any) -> str:
    """Returns the text of one method for `read_sum`, without settings at their default."""
    settings = [
        f"{f.name}={getattr(method, f.name)!r}"
        for f in dataclasses.fields(method)
        if getattr(method, f.name) != f.default
    ]
    return f"{type(method).__name__}({', '.join(settings)})"


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
            raise HoldfastError(f"Recipe {text!r}: {name.id} has no setting {key!r}.{_meant(key, fields, table)}")
        if key in given:
            raise HoldfastError(f"Recipe {text!r}: {name.id} is given {key!r} twice.")
        given[key] = _literal(value, f"Recipe {text!r}: {name.id}({key}={ast.unparse(value)})")
    return cls(**given)


def _meant(key: str | None, fields: Sequence[str], table: Mapping[str, type[Any]]) -> str:
    """Returns what an unknown setting may mean: one of all training, such as the learning rate, or the nearest."""
    train = table.get("Train")
    if train is not None and key in {field.name for field in dataclasses.fields(train)}:
        return f" It is a setting of Train: add Train({key}=...) to the recipe."
    return nearest(key or "", fields) or (f" It takes {', '.join(fields)}." if fields else " It takes none.")


def _literal(value: ast.expr, where: str) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError):
        raise HoldfastError(f"{where} must be a plain number, text or None.") from None
