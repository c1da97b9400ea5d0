"""The frozen base, in whatever form is cheapest: the one place that all methods of a recipe take it from.

Four forms:

    adapters off   the trained model with its adapters switched off (nothing is copied);
    start adapter  the adapter as it was at the start, on the same frozen weights: for initialisations that move part
                   of the base weight into the adapter (PiSSA, OLoRA, CorDA), where adapters-off is not the base, and
                   for `reference="start"` when training goes on from an adapter;
    copy           a copy of every trained weight as it was at the start: full fine-tuning;
    cache          the base's states on the training examples, computed once before training (`StateCache`).

The first three are one mechanism: some adapters off, some weights swapped for kept ones, during one forward.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from holdfast.core.adapters import adapters_off
from holdfast.core.errors import HoldfastError
from holdfast.core.params import swapped
from holdfast.core.token_index import Key


@contextmanager
def evaluating(model: nn.Module, gradients: bool = False) -> Iterator[None]:
    """Runs a block in eval mode, without gradients or with, and leaves every module in the mode it was found in."""
    was_training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.set_grad_enabled(gradients):
            yield
    finally:
        for module in was_training:
            module.training = True
        # A weight cast by autocast inside no_grad would be reused, without its gradient, by the next forward.
        torch.clear_autocast_cache()


@dataclasses.dataclass
class Teacher:
    """The frozen base as a way of running the model being trained.

    Attributes:
        form: "adapters off", "start adapter" or "copy", for messages and records.
        without_adapters: Whether adapters are switched off.
        values: Start values of trained parameters to put in their place, by name.
        staying: Names of the adapters that stay on all the same: frozen, and active beside the one that trains.
    """

    form: str
    without_adapters: bool
    values: dict[str, Tensor]
    staying: tuple[str, ...] = ()

    @contextmanager
    def base(self, model: nn.Module) -> Iterator[None]:
        """Makes `model` (unwrapped) the base for a block: frozen weights, eval mode, no gradient, no RNG consumed."""
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
        """Returns the base's value of a parameter of `model`: the kept one if it is trained, else itself."""
        for name, own in model.named_parameters():
            if own is param and name in self.values:
                return self.values[name].to(param.device)
        return param.detach()


class StateCache:
    """The base's features at the supervised positions of each training document, computed once before training."""

    def __init__(self) -> None:
        self.rows: dict[str, Tensor] = {}

    def put(self, keys: Sequence[Key], features_NX: Tensor) -> None:
        """Stores the features of a batch under its documents' keys."""
        for (key, tokens), rows in zip(keys, features_NX.split([tokens for _, tokens in keys]), strict=True):
            if tokens:
                self.rows[key] = rows.detach().clone().cpu()

    def get(self, keys: Sequence[Key], device: torch.device) -> Tensor:
        """Returns the features of a batch, `[N, X]`.

        Raises:
            HoldfastError: A document was not in the training examples when the cache was filled.
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
