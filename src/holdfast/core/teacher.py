"""The frozen base in its cheapest form; all methods of a recipe share it.

It has four forms:

    adapters off   the trained model with its adapters switched off; this copies nothing;
    start adapter  the start values of the adapter on the same frozen weights. Some initialisations (PiSSA, OLoRA,
                   CorDA) move part of the base weight into the adapter, so the model without adapters is not the base;
                   `reference="start"` uses this form too if training continues an adapter;
    copy           a copy of the start values of all trained weights: full fine-tuning;
    cache          the base's states on the training examples, computed once before training (`StateCache`).

The first three use one mechanism: during a forward, switch some adapters off and replace some weights by kept values
(docs/decisions/0003-one-teacher.md).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.adapters import adapters_off
from holdfast.core.errors import HoldfastError
from holdfast.core.params import head_if_any, swapped
from holdfast.core.token_index import Key


def _unstrided_inputs(_head: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns a head's inputs, unstrided: a model that keeps the last positions gives its head a view."""
    return tuple(unstrided(value) if isinstance(value, Tensor) else value for value in inputs)


def unstrided(value: Tensor) -> Tensor:
    """Returns a tensor with the strides that a new one of its shape has.

    Torch copies a frozen weight, and multiplies by it once for each row, if the input `[B, T, X]` of the product is a
    strided view. On a CPU in bfloat16, 8 rows of 151,936 logits then take 14 s and not 0.04 s. `Tensor.contiguous` is
    not enough: it returns a view of a single row as it is, with the first stride of the whole, at which torch looks.
    """
    if value.stride() == torch.empty(value.shape, device="meta").stride():
        return value
    return value.clone(memory_format=torch.contiguous_format)


@contextmanager
def evaluating(model: nn.Module, gradients: bool = False) -> Iterator[None]:
    """Runs a block in eval mode, by default without gradients, and restores the mode of every module."""
    was_training = [module for module in model.modules() if module.training]
    model.eval()
    head = head_if_any(model)
    hook = None if head is None else head.register_forward_pre_hook(_unstrided_inputs)
    try:
        with torch.set_grad_enabled(gradients):
            yield
    finally:
        if hook is not None:
            hook.remove()
        for module in was_training:
            module.training = True
        # Else the next forward would reuse autocast's copy of a weight, which no_grad made without a gradient.
        torch.clear_autocast_cache()


@dataclasses.dataclass
class Teacher:
    """The frozen base: it runs the trained model with other adapters and weights.

    Attributes:
        form: "adapters off", "start adapter" or "copy", for messages and records.
        without_adapters: Whether to switch adapters off.
        values: Start values of trained parameters, by name; they replace the trained values.
        staying: Names of the adapters that stay on: active, frozen ones beside the trained adapter.
    """

    form: str
    without_adapters: bool
    values: dict[str, Tensor]
    staying: tuple[str, ...] = ()

    @contextmanager
    def base(self, model: nn.Module) -> Iterator[None]:
        """Turns the unwrapped `model` into the base for a block: start weights, eval mode, no gradients, no dropout."""
        params = dict(model.named_parameters())
        for name, value in self.values.items():
            if value.device != params[name].device:
                self.values[name] = value.to(params[name].device)
        with evaluating(model), swapped(params, self.values):
            if self.without_adapters:
                with adapters_off(model, staying=self.staying):
                    yield
            else:
                yield

    def value(self, model: nn.Module, param: Tensor) -> Tensor:
        """Returns the base's value of a parameter of `model`: its kept start value, or itself if it is frozen."""
        for name, candidate in model.named_parameters():
            if candidate is param and name in self.values:
                return self.values[name].to(param.device)
        return param.detach()


class StateCache:
    """The base's features at the supervised positions of each training document, computed once before training."""

    def __init__(self) -> None:
        self.rows: dict[str, Tensor] = {}

    def put(self, keys: Sequence[Key], features_NX: Tensor) -> None:
        """Stores the features `[N, X]` of a batch under the keys of its documents."""
        for (key, tokens), rows in zip(keys, features_NX.split([tokens for _, tokens in keys]), strict=True):
            if tokens:
                self.rows[key] = rows.detach().clone().cpu()

    def get(self, keys: Sequence[Key], device: torch.device) -> Tensor:
        """Returns the features `[N, X]` of a batch.

        Raises:
            HoldfastError: The training examples did not contain a document of the batch when the cache was filled.
        """
        missing = sum(tokens > 0 and key not in self.rows for key, tokens in keys)
        if missing:
            raise HoldfastError(
                f"The base-state cache lacks {missing} of the {len(keys)} rows of this batch; rows must not change"
                " after attach() (no augmentation), or use Train(teacher='copy')."
            )
        rows = [self.rows[key] for key, tokens in keys if tokens]
        width = next(iter(self.rows.values())).shape[-1]
        return torch.cat(rows).to(device) if rows else torch.zeros(0, width, device=device)
