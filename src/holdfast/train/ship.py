"""What a run ships: its weights after the recipe's edits; of an adapter, the adapter or the weights that it makes.

Edits act on whole weights. Those of an adapter are the base's with the adapter in them; what becomes of them is put
back into the adapter, as near as its rank can hold it, or shipped whole. An adapter that began by moving base weights
(PiSSA, CorDA) is shipped as a plain one of twice its rank on the base as it was.

What trains is edited. An adapter that is active and frozen beside it belongs to the base; one that is not active keeps
its bits.
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
    acting,
    acting_in,
    adapted,
    adapters_off,
    factors_for,
    idle,
    is_plain_lora,
    own_parameters,
    plain_name,
    put_factors,
    shared,
    training,
    widen,
)
from holdfast.core.method import Chain, Method, State
from holdfast.core.params import snapshot, swapped, trainable
from holdfast.train.base import has_moved
from holdfast.train.refusals import Refusal, raise_first

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
        names: Names of the adapters that train.
        beside: Names of those that are active beside them and frozen.
    """

    model: nn.Module
    recipe: Chain
    form: str = "adapter"
    start: dict[str, Tensor] = dataclasses.field(init=False)
    moved: dict[str, Tensor] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        """Looks at the model's adapters; refuses what they cannot hold."""
        edits = self.recipe.uses("edit_weights")
        self.names = training(self.model)
        self.beside = [name for name in acting(self.model) if name not in self.names]
        # Merging takes every adapter off, and so concerns every weight; else only those whose adapter trains change.
        self.weights = [one for one in adapted(self.model) if self.form == "merged" or self._trains(one)]
        self.has_moved = has_moved(self.model, self.names)
        self.edits_weights = edits and bool(self._part(on_parameters=False).uses("edit_weights"))
        self.whole = bool(self.weights) and (self.form == "merged" or self.edits_weights or self.has_moved)
        raise_first(_refusals(self) if self.whole else ())
        self.start = snapshot(trainable(self.model)) if edits else {}
        self.moved = {one.name: one.tuned().to(one.param.dtype, copy=True) for one in self.weights if self.has_moved}

    def as_shipped(self, state: State) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the model computes with the weights that it would be shipped with now."""
        if not self.start:
            return contextlib.nullcontext()
        named, values = dict(self.model.named_parameters()), dict(self._parameters(state))
        if not self.edits_weights:
            return swapped(named, values)
        inside = self._inside()
        values = {name: value for name, value in values.items() if id(named[name]) not in inside}
        names = {id(p): name for name, p in named.items()}
        if self.form == "merged":
            for one, _, weight in self._whole(state):
                values[names[id(one.param)]] = weight.to(one.param.dtype)
            return self._without_adapters(named, values)
        for one, base, weight in self._whole(state):
            layer, adapter = one.layers[0], self.names[0]
            up, down, _ = factors_for(layer, weight - base, self._rank(layer), adapter)
            values[names[id(layer.lora_A[adapter].weight)]] = down
            values[names[id(layer.lora_B[adapter].weight)]] = up
            if self.has_moved:
                values[names[id(one.param)]] = base
        return swapped(named, values)

    @torch.no_grad()
    def ship(self, state: State) -> tuple[nn.Module, dict[str, float]]:
        """Puts the weights to be shipped into the model, and returns it (without its adapter, if merged).

        Returns:
            The model, and, where an adapter was made anew, its `rank` and the relative `error` of the weights it holds.
        """
        made = self._made(state) if self.whole else {}
        named = dict(self.model.named_parameters())
        for name, value in self._parameters(state):
            named[name].copy_(value)
        if not self.whole:
            return self.model, {}
        if self.form == "merged":
            return self._merged(made), {}
        return self.model, self._refactored(made)

    def _part(self, *, on_parameters: bool) -> Chain:
        """Those edits of the recipe that act on parameters, or on weights, each still with its own state."""
        return Chain(tuple(m if m.on_parameters is on_parameters else Method() for m in self.recipe.methods))

    def _trains(self, one: Adapted) -> bool:
        return any(set(acting_in(layer)) & set(self.names) for layer in one.layers)

    def _layers(self) -> list[Any]:
        return [layer for one in self.weights for layer in one.layers]

    def _inside(self) -> set[int]:
        """The adapters' own parameters, which are not shipped as weights."""
        return {id(p) for layer in self._layers() for p in own_parameters(layer)}

    def _parameters(self, state: State) -> Iterator[tuple[str, Tensor]]:
        """Yields the trained parameters as they are edited: an adapter's own by what acts on parameters alone."""
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
        """Yields each adapted weight with what it was at the start and what is shipped of it, in float32 or wider."""
        edits = self._part(on_parameters=False)
        with torch.no_grad(), swapped(dict(self.model.named_parameters()), dict(self._parameters(state))):
            for one in self.weights:
                base = self.moved[one.name].to(one.param.device) if self.has_moved else one.param.detach()
                base = one.tuned(self.names) if self.beside else base
                yield one, base, edits.edit_weights(state, one.name, base, one.tuned())

    def _rank(self, layer: Any) -> int:
        return int(layer.r[self.names[0]]) * (2 if self.has_moved else 1)

    @contextlib.contextmanager
    def _without_adapters(self, named: dict[str, nn.Parameter], values: dict[str, Tensor]) -> Iterator[None]:
        with adapters_off(self.model, self._layers()), swapped(named, values):
            yield

    def _made(self, state: State) -> dict[str, tuple[Tensor, ...]]:
        """Returns, by name, what is to be put in the place of each adapted weight or of its factors."""
        made: dict[str, tuple[Tensor, ...]] = {}
        for one, base, weight in self._whole(state):
            if self.form == "merged":
                made[one.name] = (weight.to(one.param.dtype, copy=True),)
                continue
            change = weight - base
            layer = one.layers[0]
            up, down, held = factors_for(layer, change, self._rank(layer), self.names[0])
            squares = [t.double().pow(2).sum() for t in (change, change - held)]
            made[one.name] = (up, down, torch.stack(squares))
        return made

    def _merged(self, made: dict[str, tuple[Tensor, ...]]) -> nn.Module:
        for one in self.weights:
            one.param.copy_(made[one.name][0])
        plain: Any = self.model.unload()  # type: ignore[operator]  # keeps the trained copies of modules_to_save
        head, embedding = plain.get_output_embeddings(), plain.get_input_embeddings()
        if head is not None and head.weight is not embedding.weight:
            plain.config.get_text_config().tie_word_embeddings = plain.config.tie_word_embeddings = False
        return plain  # type: ignore[no-any-return]

    def _refactored(self, made: dict[str, tuple[Tensor, ...]]) -> dict[str, float]:
        adapter = self.names[0]
        for one in self.weights:
            up, down, _ = made[one.name]
            put_factors(one.layers[0], up, down, adapter)
            if self.has_moved:
                one.param.data.copy_(self.moved[one.name])
        config: Any = getattr(self.model, "peft_config", {}).get(adapter)
        if self.has_moved:
            widen(config, 2)
            config.init_lora_weights = True
        rank = int(config.r if config is not None else max(one.layers[0].r[adapter] for one in self.weights))
        whole, left = torch.stack([squares.cpu() for _, _, squares in made.values()]).sum(0).tolist()
        error = math.sqrt(left / whole) if whole else 0.0
        if error > 1e-3:
            logger.warning(
                "The edited weights are shipped as an adapter of rank %d, which holds their change up to a relative"
                " error of %.1f%%; Train(ship='merged') ships them whole.",
                rank,
                100 * error,
            )
        return {"rank": rank, "error": error}


def _refusals(ship: Shipping) -> Iterator[Refusal]:
    """Why whole weights cannot be made, merged, or held by the adapter: a table of conditions and sentences."""
    model, recipe, names, weights = ship.model, ship.recipe, ship.names, ship.weights
    yield (
        not all(one.param.is_floating_point() for one in weights),
        f"{recipe!r} makes whole weights, and those of this model are quantised; ship the adapter as it"
        " is, or load the base in 16 or 32 bits.",
    )
    tied = next((one.name for one in weights if shared(model, one)), "")
    yield (
        tied,
        f"{recipe!r} makes whole weights, and {tied} is one of two layers', of which the adapter"
        " changes one; leave that layer out of the adapter's targets.",
    )
    if ship.form == "merged":
        # To merge takes all adapters off: another one would be lost, and one that PEFT has not put on stays.
        others = idle(model)
        yield (
            others,
            f"Train(ship='merged') takes every adapter off the model, and this training does not touch"
            f" {_listed(others)}, which would be lost; save and delete it first (model.delete_adapter), or ship the"
            " adapter.",
        )
        yield (
            not hasattr(model, "unload"),
            f"Train(ship='merged') takes the adapter off, for which {type(model).__name__} has no unload();"
            " put it on with peft.get_peft_model, or ship the adapter.",
        )
        return
    does = "edits whole weights" if ship.edits_weights else "ships an adapter that moved weights as a plain one"
    yield (
        len(names) > 1 or (ship.has_moved and ship.beside),
        f"{recipe!r} {does}, and {_listed([*names, *ship.beside])} are active at once, among which"
        " they cannot be parted; let one adapter be active (model.set_adapter), or add Train(ship='merged') to"
        " ship them whole.",
    )
    yield (
        not all(len(one.layers) == 1 and is_plain_lora(one.layers[0], names[0]) for one in weights),
        f"{recipe!r} {does}, which this kind of adapter cannot hold afterwards; add Train(ship='merged')"
        " to ship them whole.",
    )


def _listed(names: list[str]) -> str:
    return " and ".join(map(repr, names))
