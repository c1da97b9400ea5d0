"""Named-parameter arithmetic: the trainable parameters of a model, bare, by the name they have unwrapped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Returns the parameters of `model` that require gradients, by name, each once (tied ones under the first name)."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def snapshot(params: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    """Returns detached copies of `params`, by name."""
    return {name: p.detach().clone() for name, p in params.items()}


def layer_of(name: str) -> int | None:
    """Returns the number of the layer that a parameter belongs to, None if it is in none.

    That is the first whole number among the parts of its name: `model.layers.3.mlp.experts.7.up_proj.weight` is in 3.
    """
    return next((int(part) for part in name.split(".") if part.isdigit()), None)


@contextmanager
def swapped(params: dict[str, nn.Parameter], values: dict[str, Tensor]) -> Iterator[None]:
    """Puts `values` in the place of `params` and puts the former back on leaving; no copy is made.

    Only storage pointers change hands, so optimizers, hooks and wrappers keep seeing the same parameters.
    """
    with torch.no_grad():
        held = {name: params[name].data for name in values}
        try:
            for name, value in values.items():
                params[name].data = value
            yield
        finally:
            for name, value in held.items():
                params[name].data = value
