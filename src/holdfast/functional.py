"""Every pure function of the methods by itself: for a training loop of your own, without a trainer or a recipe.

None keeps state, changes its arguments, or takes a mean over tokens; the caller sums and divides. The names of a
function's arguments tell which shape it has:

    per position   logits `[B, T, V]` and labels `[B, T]` in, nats `[B, T]` out: `out[b, t]` belongs to
                   `labels[b, t + 1]`, the last column is 0 (arguments ending in `_BT` or `_BTV`)
    per token      N supervised tokens in, `[N]` out (arguments ending in `_N` or `_NV`)
    per weight     weights, their changes or gradients in, one tensor at a time (any other tensor)
    plain          numbers, names and texts: schedules, and which parameters or examples a method chooses

They are listed nowhere else: each public function of a method's file is one of them.
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
    """Returns which shape a function has, from the names of its arguments and their types."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.name.endswith(_OF_POSITIONS) for parameter in parameters):
        return "per position"
    if any(parameter.name.endswith(_OF_TOKENS) for parameter in parameters):
        return "per token"
    return "per weight" if any("Tensor" in str(parameter.annotation) for parameter in parameters) else "plain"


def _found() -> dict[str, FunctionType]:
    found: dict[str, FunctionType] = {}
    for method in names.METHODS:
        module = importlib.import_module(names.home_of(method))
        for name, value in vars(module).items():
            if isinstance(value, FunctionType) and value.__module__ == module.__name__ and not name.startswith("_"):
                if name in found:
                    raise ImportError(f"{module.__name__} and {found[name].__module__} both have a function {name}.")
                found[name] = value
    return found


FUNCTIONS: dict[str, FunctionType] = _found()
"""The functions by name, in the order of the methods."""

__all__ = ["FUNCTIONS", "Shape", "shape_of", *FUNCTIONS]

globals().update(FUNCTIONS)
