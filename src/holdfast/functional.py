"""The pure functions of all methods, for your own training loop, without a trainer or a recipe.

A function keeps no state, does not change its arguments, and takes no mean over tokens: the caller sums and divides.
The names of its arguments tell its shape:

    per position   takes logits `[B, T, V]` and labels `[B, T]`, returns nats `[B, T]`: `out[b, t]` belongs to
                   `labels[b, t + 1]`, and the last column is 0 (arguments that end in `_BT` or `_BTV`)
    per token      takes N supervised tokens, returns `[N]` (arguments that end in `_N` or `_NV`)
    per weight     takes weights, their changes or gradients, one tensor at a time (any other tensor)
    plain          takes numbers, names and texts: schedules, and choices of parameters or examples

This module collects the public functions of the methods' files; no list names them.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, Literal

from holdfast.methods import names

Shape = Literal["per position", "per token", "per weight", "plain"]

_OF_POSITIONS, _OF_TOKENS = ("_BT", "_BTV"), ("_N", "_NV")


def shape_of(function: Callable[..., Any]) -> Shape:
    """Returns the shape of a function, from the names and types of its arguments."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.name.endswith(_OF_POSITIONS) for parameter in parameters):
        return "per position"
    if any(parameter.name.endswith(_OF_TOKENS) for parameter in parameters):
        return "per token"
    return "per weight" if any("Tensor" in str(parameter.annotation) for parameter in parameters) else "plain"


def _collect() -> dict[str, FunctionType]:
    functions: dict[str, FunctionType] = {}
    for method in names.METHODS:
        module = importlib.import_module(names.home_of(method))
        for name, value in vars(module).items():
            if isinstance(value, FunctionType) and value.__module__ == module.__name__ and not name.startswith("_"):
                if name in functions:
                    other = functions[name].__module__
                    raise ImportError(f"{module.__name__} and {other} both have a function {name}.")
                functions[name] = value
    return functions


FUNCTIONS: dict[str, FunctionType] = _collect()
"""The functions by name, in the order of the methods."""

__all__ = ["FUNCTIONS", "Shape", "shape_of", *FUNCTIONS]

globals().update(FUNCTIONS)
