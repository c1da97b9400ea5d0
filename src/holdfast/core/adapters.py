"""Adapters on a model, whoever made them: which act, which train, how they are switched off, what weights they make.

PEFT's layers are known here by what they offer (`merge`, `get_base_layer`, `lora_A`), not by their classes. A model may
hold several adapters, each under a name of its own: those that are active act, and those of them train whose parameters
require gradients. All others keep their bits, whatever they are called.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def tuner_layers(model: nn.Module) -> list[nn.Module]:
    """Returns the modules that carry an adapter (PEFT tuner layers, `modules_to_save` and trainable-token wrappers)."""
    return [module for module in model.modules() if isinstance(getattr(module, "_disable_adapters", None), bool)]


def held_by(layer: Any) -> dict[str, list[nn.Parameter]]:
    """Returns the parameters of each adapter that a tuner layer holds, active or not, by the adapter's name."""
    held: dict[str, list[nn.Parameter]] = {}
    for attribute in layer.adapter_layer_names:
        container: Any = functools.reduce(getattr, attribute.split("."), layer)
        if isinstance(container, (nn.ModuleDict, nn.ParameterDict)):
            for name, part in container.items():
                held.setdefault(name, []).extend([part] if isinstance(part, nn.Parameter) else part.parameters())
    return held


def acting_in(layer: Any) -> list[str]:
    """Returns the names of the adapters that act in a tuner layer: held by it, active and not switched off."""
    if layer._disable_adapters:
        return []
    active = layer.active_adapters
    return [name for name in ([active] if isinstance(active, str) else active) if name in held_by(layer)]


def acting(model: nn.Module) -> list[str]:
    """Returns the names of the adapters that act somewhere in a model, each once."""
    layers: list[Any] = tuner_layers(model)
    return list(dict.fromkeys(name for layer in layers for name in acting_in(layer)))


def training(model: nn.Module) -> list[str]:
    """Returns the names of the adapters that act in a model and have parameters that require gradients, each once."""
    found: dict[str, None] = {}
    for layer in tuner_layers(model):
        held = held_by(layer)
        found |= dict.fromkeys(name for name in acting_in(layer) if any(p.requires_grad for p in held[name]))
    return list(found)


def idle(model: nn.Module) -> list[str]:
    """Returns the names of the adapters that a model holds and that act nowhere in it, sorted."""
    layers: list[Any] = tuner_layers(model)
    return sorted({name for layer in layers for name in held_by(layer)} - set(acting(model)))


def active_configs(model: nn.Module) -> list[Any]:
    """Returns PEFT's configurations of the adapters that are active; of virtual tokens, which have no layers, too."""
    configs: Any = getattr(model, "peft_config", {})
    wrapper: Any = getattr(model, "active_adapter", None)  # a method where transformers put the adapter on
    named = [wrapper] if isinstance(wrapper, str) else list(wrapper) if isinstance(wrapper, list) else []
    return [configs[name] for name in dict.fromkeys([*acting(model), *named]) if name in configs]


def weight_layers(model: nn.Module) -> list[Any]:
    """Returns those tuner layers that change a weight; trained copies of modules (`modules_to_save`) do not."""
    return [layer for layer in tuner_layers(model) if hasattr(layer, "merge") and hasattr(layer, "get_base_layer")]


@contextmanager
def adapters_off(
    model: nn.Module, only: Sequence[nn.Module] | None = None, staying: Collection[str] = ()
) -> Iterator[None]:
    """Switches every adapter off, or those of some layers only, but for those whose names stay.

    PEFT's `disable_adapter()` also re-enables the gradients of frozen adapter weights on leaving; a flag does not.
    """
    layers: list[Any] = list(only or tuner_layers(model))
    held = [(layer, layer._disable_adapters, layer._active_adapter) for layer in layers]
    try:
        for layer in layers:
            kept = [name for name in acting_in(layer) if name in staying]
            layer._disable_adapters, layer._active_adapter = not kept, kept or layer._active_adapter
        yield
    finally:
        for layer, was, active in held:
            layer._disable_adapters, layer._active_adapter = was, active


def own_parameters(layer: nn.Module) -> list[nn.Parameter]:
    """Returns the adapter's own parameters of a tuner layer; those of the layer it wraps (a trained bias) are not."""
    wrapped = getattr(layer, "base_layer", None)
    kept = {id(p) for p in wrapped.parameters()} if isinstance(wrapped, nn.Module) else set()
    return [p for p in layer.parameters() if id(p) not in kept]


def plain_name(name: str) -> str:
    """Returns the name that a parameter of the base, or the copy of it that is trained, has where no adapter is."""
    return re.sub(r"\.base_layer|\.modules_to_save\.[^.]+", "", name.removeprefix("base_model.model."))


EXACT = 1024
"""Size of a matrix up to which all its singular values are computed."""


@dataclasses.dataclass
class Adapted:
    """A weight of the base that an adapter changes.

    Attributes:
        name: Its name in a model without adapters.
        param: The weight itself, frozen, as the base has it.
        layers: The tuner layers upon it in which an adapter acts, the innermost first.
    """

    name: str
    param: nn.Parameter
    layers: list[Any]

    @torch.no_grad()
    def tuned(self, without: Collection[str] = ()) -> Tensor:
        """Returns the weight with what acts on it, in float32 or wider; the base keeps its own bits.

        Unmerging would not give them back; and half a precision would round away what an adapter of float32 holds.

        Args:
            without: Names of adapters that are left out.
        """
        base_layer = self.layers[0].get_base_layer()
        held = {name: p.data for name, p in base_layer.named_parameters()}
        try:
            for name, p in base_layer.named_parameters():
                wide = torch.promote_types(p.dtype, torch.float32) if p.is_floating_point() else p.dtype
                p.data = held[name].to(wide, copy=True)
            for layer in self.layers:
                layer.merge(adapter_names=[name for name in acting_in(layer) if name not in without])
            return self.param.data
        finally:
            for name, p in base_layer.named_parameters():
                p.data = held[name]
            for layer in self.layers:
                layer.merged_adapters.clear()


def shared(model: nn.Module, one: Adapted) -> bool:
    """Returns whether a layer besides the one that is adapted has the same weight (an embedding tied to the head)."""
    own = one.layers[0].get_base_layer()
    return any(p is one.param for module in model.modules() if module is not own for p in module._parameters.values())


def adapted(model: nn.Module) -> list[Adapted]:
    """Returns the weights of the base that the adapters change which act, in the model's order."""
    layers: dict[int, list[Any]] = {}
    for layer in reversed(weight_layers(model)):  # an inner wrapper stands behind the outer one
        if acting_in(layer):
            layers.setdefault(id(layer.get_base_layer()), []).append(layer)
    owners = {id(p): own for own in layers.values() for p in _changed(own[0].get_base_layer(), own)}
    return [Adapted(plain_name(name), p, owners[id(p)]) for name, p in model.named_parameters() if id(p) in owners]


def _changed(base_layer: nn.Module, layers: list[Any]) -> list[nn.Parameter]:
    named = {getattr(layer, "parameter_name", "weight") for layer in layers}
    return [p for name, p in base_layer.named_parameters() if name in named]


def low_rank(change: Tensor, rank: int, *, exact: bool = False) -> tuple[Tensor, Tensor]:
    """Returns the factors (B, A) of the nearest change of a rank, the singular values shared evenly between them.

    Args:
        change: `[out, in]`; beyond `EXACT` its singular vectors come by random projection from a fixed seed: exact up
            to rounding for a change of that rank or less.
        rank: What is above the change's own size is filled up with zeros.
        exact: Whether all singular values are computed, whatever the size.

    Returns:
        B `[out, rank]` and A `[rank, in]`, in float32 or wider.
    """
    wide = change if change.dtype == torch.float64 else change.float()
    if min(wide.shape) > EXACT and not exact:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            u, s, turned = torch.svd_lowrank(wide, q=min(rank + 16, *wide.shape), niter=4)
        v = turned.T
    else:
        u, s, v = torch.linalg.svd(wide, full_matrices=False)
    kept = min(rank, len(s))
    root = s[:kept].sqrt()
    b = torch.zeros(change.shape[0], rank, dtype=wide.dtype, device=wide.device)
    a = torch.zeros(rank, change.shape[1], dtype=wide.dtype, device=wide.device)
    b[:, :kept], a[:kept] = u[:, :kept] * root, root[:, None] * v[:kept]
    return b, a


def is_plain_lora(layer: Any, adapter: str) -> bool:
    """Returns whether an adapter of a tuner layer adds B A to a matrix and does nothing else."""
    return (
        adapter in getattr(layer, "lora_A", {})
        and adapter not in getattr(layer, "lora_variant", {})
        and not hasattr(layer, "lora_E")
        and not hasattr(layer, "parameter_name")
        and layer.get_base_layer().weight.dim() == 2
    )


def factors_for(layer: Any, change: Tensor, rank: int, adapter: str) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the factors (B, A) by which a plain LoRA layer adds what is nearest to `change`, and what it then adds.

    Args:
        layer: The tuner layer, which is left as it is.
        change: Of the layer's weight, as the layer stores it.
        rank: Its own rank or another.
        adapter: Its name.
    """
    turned = bool(getattr(layer, "fan_in_fan_out", False))
    scaling = layer.scaling[adapter]
    b, a = low_rank((change.T if turned else change) / scaling, rank)
    up, down = b.to(layer.lora_B[adapter].weight.dtype), a.to(layer.lora_A[adapter].weight.dtype)
    held = scaling * (up.to(b.dtype) @ down.to(a.dtype))
    return up, down, held.T if turned else held


def put_factors(layer: Any, up: Tensor, down: Tensor, adapter: str) -> None:
    """Puts factors (B, A) of any one rank into a plain LoRA layer."""
    layer.lora_A[adapter].weight.data, layer.lora_B[adapter].weight.data = down, up
    rank = len(down)
    layer.lora_A[adapter].out_features = layer.lora_B[adapter].in_features = layer.r[adapter] = rank


def widen(config: Any, times: int) -> None:
    """Makes an adapter's configuration that of one of so many times the rank, whose scale is the same."""
    factor = math.sqrt(times) if config.use_rslora else times
    config.r, config.lora_alpha = config.r * times, config.lora_alpha * factor
    config.rank_pattern = {name: rank * times for name, rank in config.rank_pattern.items()}
    config.alpha_pattern = {name: alpha * factor for name, alpha in config.alpha_pattern.items()}
