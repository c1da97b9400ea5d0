"""The weights that a run ships: the recipe's edits of them, and their form, an adapter or merged weights.

Edits act on whole weights; for an adapter these are the base's weights with the adapter merged in. An SVD puts the
edited weights back into the adapter as well as its rank allows, or the run ships whole weights. An adapter that began
by moving base weights (PiSSA, CorDA) ships as a plain one of twice its rank on the original base.

Edits change only what trained. An active, frozen adapter belongs to the base, and an inactive one keeps its bits.
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
    acting_adapters,
    acting_in,
    adapted,
    adapters_off,
    factors_for,
    has_biases,
    idle_adapters,
    is_plain_lora,
    is_shared,
    own_parameters,
    plain_name,
    put_factors,
    trained_adapters,
    widen,
)
from holdfast.core.exact import exactly
from holdfast.core.method import Chain, Method, State
from holdfast.core.params import snapshot, swapped, trainable
from holdfast.train.base import has_moved
from holdfast.train.refusals import Refusal, raise_first

logger = logging.getLogger("holdfast")


@dataclasses.dataclass
class Shipping:
    """Computes the weights that a model would ship at any moment, and ships them.

    Attributes:
        model: The model to train, with the recipe's adapters; pass it before training.
        recipe: The active methods.
        form: "adapter" or "merged": the form in which a model with an adapter ships.
        start: Start values of the trained parameters, if the recipe edits weights; else empty.
        moved: Start values of the adapted weights with the adapter merged in, if the adapter moved base weights.
        names: Names of the adapters that train.
        beside: Names of the active, frozen adapters.
    """

    model: nn.Module
    recipe: Chain
    form: str = "adapter"
    start: dict[str, Tensor] = dataclasses.field(init=False)
    moved: dict[str, Tensor] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        """Finds the model's adapters; raises `HoldfastError` if they cannot hold the recipe's edits."""
        edits = self.recipe.uses("edit_weights")
        self.names = trained_adapters(self.model)
        self.beside = [name for name in acting_adapters(self.model) if name not in self.names]
        # Merging removes every adapter, so it concerns every adapted weight; else only weights with a trained adapter.
        self.weights = [weight for weight in adapted(self.model) if self.form == "merged" or self._trains(weight)]
        self.has_moved = has_moved(self.model, self.names)
        self.edits_weights = edits and bool(self._part(on_parameters=False).uses("edit_weights"))
        self.whole = bool(self.weights) and (self.form == "merged" or self.edits_weights or self.has_moved)
        raise_first(_refusals(self) if self.whole else ())
        self.start = snapshot(trainable(self.model)) if edits else {}
        moved = self.weights if self.has_moved else []
        self.moved = {weight.name: weight.tuned().to(weight.param.dtype, copy=True) for weight in moved}

    def as_shipped(self, state: State) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the model computes with the weights that it would ship now.

        It exchanges values only, so the model keeps its adapters and training can continue afterwards.
        """
        if not self.start:
            return contextlib.nullcontext()
        named, values = dict(self.model.named_parameters()), dict(self._parameters(state))
        if not self.edits_weights:
            return swapped(named, values)
        inside = self._inside()
        values = {name: value for name, value in values.items() if id(named[name]) not in inside}
        names = {id(p): name for name, p in named.items()}
        if self.form == "merged":
            for weight, _, edited in self._whole(state):
                values[names[id(weight.param)]] = edited.to(weight.param.dtype)
            return self._without_adapters(named, values)
        for weight, base, edited in self._whole(state):
            layer, adapter = weight.layers[0], self.names[0]
            up, down, _ = factors_for(layer, edited - base, self._rank(layer), adapter)
            values[names[id(layer.lora_A[adapter].weight)]] = down
            values[names[id(layer.lora_B[adapter].weight)]] = up
            if self.has_moved:
                values[names[id(weight.param)]] = base
        return swapped(named, values)

    @torch.no_grad()
    def ship(self, state: State) -> tuple[nn.Module, dict[str, float]]:
        """Puts the weights to ship into the model.

        Returns:
            The model (without its adapter, if merged), and a dict: `rank` and relative `error` of the adapter that
            holds edited weights, or empty.
        """
        replacements = self._replacements(state) if self.whole else {}
        named = dict(self.model.named_parameters())
        for name, value in self._parameters(state):
            named[name].copy_(value)
        if not self.whole:
            return self.model, {}
        if self.form == "merged":
            return self._merged(replacements), {}
        return self.model, self._refactored(replacements)

    def _part(self, *, on_parameters: bool) -> Chain:
        """Returns the methods whose edits act on parameters, or on whole weights.

        Empty methods fill the other positions, because the key of a method's state contains its position.
        """
        return Chain(tuple(m if m.on_parameters is on_parameters else Method() for m in self.recipe.methods))

    def _trains(self, weight: Adapted) -> bool:
        return any(set(acting_in(layer)) & set(self.names) for layer in weight.layers)

    def _layers(self) -> list[Any]:
        return [layer for weight in self.weights for layer in weight.layers]

    def _inside(self) -> set[int]:
        """Returns the ids of the adapters' parameters, which do not ship as weights."""
        return {id(p) for layer in self._layers() for p in own_parameters(layer)}

    def _parameters(self, state: State) -> Iterator[tuple[str, Tensor]]:
        """Yields the edited values of the trained parameters, by name.

        An adapter's matrices get only the edits that act on parameters; other parameters are whole weights and get
        both.
        """
        named, inside = dict(self.model.named_parameters()), self._inside()
        first, then = self._part(on_parameters=True), self._part(on_parameters=False)
        with torch.no_grad():
            for name, start in self.start.items():
                base = start.to(named[name].device)
                value = first.edit_weights(state, name, base, named[name].detach().clone())
                if id(named[name]) not in inside:
                    value = then.edit_weights(state, plain_name(name), base, value)
                yield name, value

    def _whole(self, state: State) -> Iterator[tuple[Adapted, Tensor, Tensor]]:
        """Yields each adapted weight with its start value and its edited value, in float32 or wider."""
        edits = self._part(on_parameters=False)
        with torch.no_grad(), swapped(dict(self.model.named_parameters()), dict(self._parameters(state))):
            for weight in self.weights:
                base = self.moved[weight.name].to(weight.param.device) if self.has_moved else weight.param.detach()
                base = weight.tuned(self.names) if self.beside else base
                yield weight, base, edits.edit_weights(state, weight.name, base, weight.tuned())

    def _rank(self, layer: Any) -> int:
        """Returns the rank to ship. An adapter that moved base weights needs twice its rank on the original base.

        The change is then the difference of two products B A, that of the end and that of the start.
        """
        return int(layer.r[self.names[0]]) * (2 if self.has_moved else 1)

    @contextlib.contextmanager
    def _without_adapters(self, named: dict[str, nn.Parameter], values: dict[str, Tensor]) -> Iterator[None]:
        with adapters_off(self.model, self._layers()), swapped(named, values):
            yield

    def _replacements(self, state: State) -> dict[str, tuple[Tensor, ...]]:
        """Returns the replacement of each adapted weight, by name.

        For the form "merged" it is the weight; else the factors B and A, and the sums of squares of the change and of
        the part of it that the factors miss.
        """
        replacements: dict[str, tuple[Tensor, ...]] = {}
        for weight, base, edited in self._whole(state):
            if self.form == "merged":
                replacements[weight.name] = (edited.to(weight.param.dtype, copy=True),)
                continue
            change = edited - base
            layer = weight.layers[0]
            up, down, product = factors_for(layer, change, self._rank(layer), self.names[0])
            squares = [exactly(t).pow(2).sum() for t in (change, change - product)]
            replacements[weight.name] = (up, down, torch.stack(squares))
        return replacements

    def _merged(self, replacements: dict[str, tuple[Tensor, ...]]) -> nn.Module:
        for weight in self.weights:
            weight.param.copy_(replacements[weight.name][0])
        plain: Any = self.model.unload()  # type: ignore[operator]  # keeps the trained copies of modules_to_save
        # A trained copy unties a weight that head and embedding shared; the config must not tie them at loading.
        head, embedding = plain.get_output_embeddings(), plain.get_input_embeddings()
        if head is not None and head.weight is not embedding.weight:
            plain.config.get_text_config().tie_word_embeddings = plain.config.tie_word_embeddings = False
        return plain  # type: ignore[no-any-return]

    def _refactored(self, replacements: dict[str, tuple[Tensor, ...]]) -> dict[str, float]:
        """Puts the factors into the adapter; returns its rank and the relative error of its change."""
        adapter = self.names[0]
        for weight in self.weights:
            up, down, _ = replacements[weight.name]
            put_factors(weight.layers[0], up, down, adapter)
            if self.has_moved:
                weight.param.data.copy_(self.moved[weight.name])
        config: Any = getattr(self.model, "peft_config", {}).get(adapter)
        if self.has_moved:
            widen(config, 2)
            config.init_lora_weights = True
        rank = int(config.r if config is not None else max(weight.layers[0].r[adapter] for weight in self.weights))
        whole, missed = torch.stack([squares.cpu() for _, _, squares in replacements.values()]).sum(0).tolist()
        error = math.sqrt(missed / whole) if whole else 0.0
        if error > 1e-3:
            logger.warning(
                "The run ships the edited weights as an adapter of rank %d, which represents their change with a"
                " relative error of %.1f%%; Train(ship='merged') ships whole weights.",
                rank,
                100 * error,
            )
        return {"rank": rank, "error": error}


def _refusals(shipping: Shipping) -> Iterator[Refusal]:
    """Yields the conditions under which whole weights cannot be built, merged or put into the adapter."""
    model, recipe, names, weights = shipping.model, shipping.recipe, shipping.names, shipping.weights
    yield (
        not all(weight.param.is_floating_point() for weight in weights),
        f"{recipe!r} needs whole weights, and the weights of this model are quantised; ship the adapter as it is, or"
        " load the base in 16 or 32 bits.",
    )
    biased = any(has_biases(layer, name) for weight in weights for layer in weight.layers for name in acting_in(layer))
    yield (
        biased,
        f"{recipe!r} needs whole weights, and the adapter trains biases beside its factors (lora_bias=True), which no"
        " weight holds; ship the adapter as it is, or put one without them on the model.",
    )
    tied = next((weight.name for weight in weights if is_shared(model, weight)), "")
    yield (
        tied,
        f"{recipe!r} needs whole weights, and two layers share {tied}, but the adapter changes only one of them; leave"
        " that layer out of the adapter's targets.",
    )
    if shipping.form == "merged":
        # Merging removes all adapters: an idle one would be lost, and `unload` removes only what PEFT has put on.
        others = idle_adapters(model)
        yield (
            others,
            f"Train(ship='merged') removes every adapter from the model, and this training does not use"
            f" {_listed(others)}, which would be lost; save and delete it first (model.delete_adapter), or ship the"
            " adapter.",
        )
        yield (
            not hasattr(model, "unload"),
            f"Train(ship='merged') removes the adapter, and {type(model).__name__} has no unload() for that; put the"
            " adapter on with peft.get_peft_model, or ship it.",
        )
        return
    does = "edits whole weights" if shipping.edits_weights else "ships an adapter that moved weights as a plain one"
    yield (
        len(names) > 1 or (shipping.has_moved and shipping.beside),
        f"{recipe!r} {does}, and their change cannot be split among the adapters {_listed([*names, *shipping.beside])},"
        " which are all active; activate one adapter (model.set_adapter), or add Train(ship='merged') to ship whole"
        " weights.",
    )
    yield (
        not all(len(weight.layers) == 1 and is_plain_lora(weight.layers[0], names[0]) for weight in weights),
        f"{recipe!r} {does}, and this kind of adapter cannot represent them; add Train(ship='merged') to ship whole"
        " weights.",
    )


def _listed(names: list[str]) -> str:
    return " and ".join(map(repr, names))
