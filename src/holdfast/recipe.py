"""Text <-> recipe: `repr(recipe)` is the text, and the text is Python."""

from __future__ import annotations

import ast
import dataclasses
from typing import Any

from holdfast.core.errors import HoldfastError, nearest
from holdfast.core.method import Chain, Method, chain
from holdfast.methods.table import METHODS, SUMS


def parse(text: str) -> Chain:
    """Returns the recipe that `text` writes, such as "Train(lr=2e-4) + LoRA(rank=16) + MaskTheTarget()".

    Only names of the tables, literal settings and `+` are read; nothing is evaluated. In the place of a sum with a name
    (`Holdfast()`) are its parts.

    Raises:
        HoldfastError: Not such a text; an unknown method or setting (with the nearest name); a value out of its range;
            a pair of methods that makes no sense.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        at = f" at column {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        raise HoldfastError(f'Recipe {text!r} cannot be read{at}; write it like "LoRA(rank=16) + Finch()".') from None
    return chain(*(_method(node, text) for node in _summands(tree.body)))


def _summands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_summands(node.left), *_summands(node.right)]
    return [node]


def _method(node: ast.expr, text: str) -> Method:
    table = {cls.__name__: cls for cls in (*SUMS, *METHODS)}
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
        try:
            given[key] = ast.literal_eval(value)
        except (ValueError, TypeError):
            raise HoldfastError(
                f"Recipe {text!r}: {name.id}({key}={ast.unparse(value)}) must be a plain number, text or None."
            ) from None
    return cls(**given)
