"""Parameters by name: those that train, copies of them, and other values in their place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Returns the parameters of an unwrapped model that require gradients, by name; tied ones have their first name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def snapshot(params: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    """Returns detached copies of `params`, by name."""
    return {name: p.detach().clone() for name, p in params.items()}


def layer_of(name: str) -> int | None:
    """Returns the number of the layer that holds a parameter; None for a parameter outside of the layers.

    The number is the first integer among the parts of the name: `model.layers.3.mlp.experts.7.up_proj.weight` is in
    layer 3.
    """
    return next((int(part) for part in name.split(".") if part.isdigit()), None)


def sums_of(tensor: Tensor) -> tuple[int, int]:
    """Returns two sums of a tensor's bytes, taken as 64-bit integers modulo 2^64: plain, and weighted by the place.

    Any change of one entry changes the first. Unlike a hash, they need no copy of the weights on the CPU.
    """
    flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    flat = nn.functional.pad(flat, (0, -len(flat) % 8)).view(torch.int64)
    plain = weighted = 0
    for start in range(0, len(flat), 2**22):
        part = flat[start : start + 2**22]
        odd = torch.arange(start, start + len(part), device=part.device).mul_(2).add_(1)
        plain += int(part.sum())
        weighted += int((part * odd).sum())
    return plain % 2**64, weighted % 2**64


@contextmanager
def swapped(params: dict[str, nn.Parameter], values: dict[str, Tensor]) -> Iterator[None]:
    """Replaces the data of `params` by `values` for a block, and restores it; it copies nothing.

    It exchanges storages only, so optimizers, hooks and wrappers keep the same parameter objects.
    """
    with torch.no_grad():
        previous = {name: params[name].data for name in values}
        try:
            for name, value in values.items():
                params[name].data = value
            yield
        finally:
            for name, value in previous.items():
                params[name].data = value


def head_if_any(model: nn.Module) -> nn.Module | None:
    """Returns the head of a causal language model, with or without PEFT; None if it names none."""
    getter: Any = getattr(model, "get_output_embeddings", None)
    head: nn.Module | None = getter() if getter is not None else None
    return head
