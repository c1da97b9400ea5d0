"""What a run ships: its weights after the recipe's edits; of an adapter, the adapter or the weights that it makes.

Edits act on whole weights. Those of an adapter are the base's with the adapter in them; what becomes of them is put
back into the adapter, as near as its rank can hold it, or shipped whole. An adapter that began by moving base weights
(PiSSA, CorDA) is shipped as a plain one of twice its rank on the base as it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.adapters import (
    Adapted,
    adapted,
    adapters_off,
    alpha_for,
    is_plain_lora,
    low_rank,
    plain_name,
    put_factors,
    tuner_layers,
)
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain, Method, State
from holdfast.core.params import snapshot, swapped, trainable
from holdfast.train.base import moves_base_weights

logger = logging.getLogger("holdfast")


@dataclasses.dataclass
class Shipping:
    """The weights of a model under a recipe, as they would be shipped at any moment, and as they are.

    Attributes:
        model: The model that is trained, in the shape that it is trained in, before training.
        recipe: The active methods.
        form: "adapter" or "merged": what is shipped of a model with an adapter.
        start: Its trained parameters at the start, where the recipe edits weights.
        moved: Its adapted weights at the start, adapter included, where that moved the base's.
    """

    model: nn.Module
    recipe: Chain
    form: str = "adapter"
    start: dict[str, Tensor] = dataclasses.field(init=False)
    moved: dict[str, Tensor] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        """Looks at the model's adapters; refuses what they cannot hold."""
        edits = self.recipe.uses("edit_weights")
        self.weights = adapted(self.model)
        configs = list(getattr(self.model, "peft_config", {}).values())
        self.has_moved = any(moves_base_weights(config) for config in configs)
        self.edits_weights = edits and bool(self._part(on_parameters=False).uses("edit_weights"))
        self._refuse()
        self.start = snapshot(trainable(self.model)) if edits else {}
        self.moved = {one.name: one.tuned().clone() for one in self.weights} if self.has_moved else {}

    def as_shipped(self, state: State) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the model computes with the weights that it would be shipped with now."""
        if not self.start:
            return contextlib.nullcontext()
        values = dict(self._parameters(state))
        if not self.edits_weights:
            return swapped(dict(self.model.named_parameters()), values)
        inside = {id(p) for layer in self._layers() for p in layer.parameters()}
        named = dict(self.model.named_parameters())
        values = {name: value for name, value in values.items() if id(named[name]) not in inside}
        names = {id(p): name for name, p in named.items()}
        for one, base, weight in self._whole(state):
            values[names[id(one.param)]] = weight if self.form == "merged" else base + self._held(one, weight - base)
        return self._swapped(named, values)

    @torch.no_grad()
    def ship(self, state: State) -> tuple[nn.Module, dict[str, Any]]:
        """Puts the weights to be shipped into the model, and returns it (without its adapter, if merged).

        Returns:
            The model, and, where an adapter was made anew, its `rank` and the relative `error` of the weights it holds.
        """
        whole = bool(self.weights) and (self.form == "merged" or self.edits_weights or self.has_moved)
        found = [(one, base, weight.clone()) for one, base, weight in self._whole(state)] if whole else []
        named = dict(self.model.named_parameters())
        for name, value in self._parameters(state):
            named[name].copy_(value)
        if not whole:
            return self.model, {}
        if self.form == "merged":
            return self._merged(found), {}
        return self.model, self._refactored(found)

    def _part(self, *, on_parameters: bool) -> Chain:
        """Those edits of the recipe that act on parameters, or on weights, each still with its own state."""
        return Chain(tuple(m if m.on_parameters is on_parameters else Method() for m in self.recipe.methods))

    def _layers(self) -> list[Any]:
        return [layer for one in self.weights for layer in one.layers]

    def _refuse(self) -> None:
        whole = self.edits_weights or self.form == "merged"
        if not self.weights or not whole:
            return
        if not all(one.param.is_floating_point() for one in self.weights):
            raise HoldfastError(
                f"{self.recipe!r} makes whole weights, and those of this model are quantised; ship the adapter as it"
                " is, or load the base in 16 or 32 bits."
            )
        if self.form == "adapter" and not all(
            len(one.layers) == 1 and is_plain_lora(one.layers[0]) for one in self.weights
        ):
            raise HoldfastError(
                f"{self.recipe!r} edits whole weights, which this kind of adapter cannot hold afterwards; add"
                " Train(ship='merged') to ship them whole."
            )

    def _parameters(self, state: State) -> Iterator[tuple[str, Tensor]]:
        """Yields the trained parameters as they are edited: an adapter's own by what acts on parameters alone."""
        inside = {id(p) for layer in self._layers() for p in layer.parameters()}
        named, own = dict(self.model.named_parameters()), self._part(on_parameters=True)
        with torch.no_grad():
            for name, start in self.start.items():
                tuned = named[name].detach()
                recipe = own if id(named[name]) in inside else self.recipe
                yield name, recipe.edit_weights(state, plain_name(name), start.to(tuned.device), tuned.clone())

    def _whole(self, state: State) -> Iterator[tuple[Adapted, Tensor, Tensor]]:
        """Yields each adapted weight with what it was at the start and what is shipped of it."""
        edits = self._part(on_parameters=False)
        with torch.no_grad(), swapped(dict(self.model.named_parameters()), dict(self._parameters(state))):
            for one in self.weights:
                base = self.moved[one.name].to(one.param.device) if self.has_moved else one.param.detach()
                yield one, base, edits.edit_weights(state, one.name, base, one.tuned())

    def _held(self, one: Adapted, change: Tensor) -> Tensor:
        """Returns what the adapter can hold of a change."""
        layer = one.layers[0]
        turned = bool(getattr(layer, "fan_in_fan_out", False))
        b, a = low_rank(change.T if turned else change, self._rank(layer))
        return ((b @ a).T if turned else b @ a).to(change.dtype)

    def _rank(self, layer: Any) -> int:
        return int(layer.r["default"]) * (2 if self.has_moved else 1)

    @contextlib.contextmanager
    def _swapped(self, named: dict[str, nn.Parameter], values: dict[str, Tensor]) -> Iterator[None]:
        with adapters_off(self.model, self._layers()), swapped(named, values):
            yield

    def _merged(self, found: list[tuple[Adapted, Tensor, Tensor]]) -> nn.Module:
        for one, _, weight in found:
            one.param.copy_(weight)
        for module in tuner_layers(self.model):  # what PEFT trained a copy of
            wrapper: Any = module
            if "default" in getattr(wrapper, "modules_to_save", {}):
                wrapper.original_module.load_state_dict(wrapper.modules_to_save["default"].state_dict())
        plain: nn.Module = self.model.unload()  # type: ignore[operator]
        return plain

    def _refactored(self, found: list[tuple[Adapted, Tensor, Tensor]]) -> dict[str, Any]:
        whole = left = 0.0
        config = next(iter(self.model.peft_config.values()))  # type: ignore[operator]
        rank = int(config.r) * (2 if self.has_moved else 1)
        for one, base, weight in found:
            layer, change = one.layers[0], weight - base
            held = put_factors(layer, change, self._rank(layer))
            whole += float(change.double().pow(2).sum())
            left += float((change - held).double().pow(2).sum())
            one.param.data.copy_(base)
        if self.has_moved:
            config.lora_alpha = alpha_for(found[0][0].layers[0].scaling["default"], rank, config.use_rslora)
            config.r, config.init_lora_weights = rank, True
        error = math.sqrt(left / whole) if whole else 0.0
        if error > 1e-3:
            logger.warning(
                "The edited weights are shipped as an adapter of rank %d, which holds their change up to a relative"
                " error of %.1f%%; Train(ship='merged') ships them whole.",
                rank,
                100 * error,
            )
        return {"rank": rank, "error": error}
