"""The head of a causal language model: where it is, what it does, and how it is made to do something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.errors import HoldfastError
from holdfast.core.teacher import evaluating
from holdfast.train.units import Inputs, Units


def head_of(model: nn.Module) -> nn.Module:
    """Returns the head of a causal language model; raises `HoldfastError` for a model without one."""
    getter: Any = getattr(model, "get_output_embeddings", None)
    head: nn.Module | None = getter() if getter is not None else None
    if head is None:
        raise HoldfastError(
            f"{type(model).__name__} has no output embeddings: token terms work on causal language models."
        )
    return head


def features_of(wrapped: nn.Module, head: nn.Module, plain: bool, inputs: Inputs, units: Units) -> Tensor:
    """Returns what a model makes of the units of a batch: hidden states `[N, D]` before a plain head, else logits.

    Args:
        wrapped: The model as the trainer calls it.
        head: Its head.
        plain: Whether that is a linear layer whose output the logits are.
        inputs: The batch.
        units: Its units.
    """
    if not plain:
        return wrapped(**without_labels(inputs)).logits[units.scored_BT]  # type: ignore[no-any-return]
    with head_gives(head, lambda hidden_BTD: hidden_BTD[units.scored_BT]):
        return wrapped(**without_labels(inputs)).logits  # type: ignore[no-any-return]


def without_labels(inputs: Inputs) -> dict[str, Any]:
    """Returns what a model is called with where its own loss is not wanted."""
    return {**{name: value for name, value in inputs.items() if name != "labels"}, "use_cache": False}


@contextmanager
def head_gives(head: nn.Module, forward: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Replaces the forward of a head for a block (its hooks, by which sharded weights are gathered, stay)."""
    held = head.__dict__.get("forward")
    head.forward = forward
    try:
        yield
    finally:
        del head.forward
        if held is not None:
            head.forward = held


def is_plain(model: nn.Module, head: nn.Module) -> bool:
    """Whether the logits are exactly what a linear head makes of its input: found by looking, not by names."""
    if type(head) is not nn.Linear:
        return False
    seen: list[Tensor] = []
    handle = head.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        with evaluating(model):
            ids = torch.arange(1, 5, device=head.weight.device)[None] % head.weight.shape[0]
            logits = model(input_ids=ids, use_cache=False).logits
    finally:
        handle.remove()
    return len(seen) == 1 and seen[0].shape == logits.shape and torch.equal(seen[0], logits)
