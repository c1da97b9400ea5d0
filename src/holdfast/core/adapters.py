"""Adapters on a model: which of them act, which train, how to switch them off, and which weights they make.

Any library may have made them. This module recognises PEFT's layers by their attributes (`merge`, `get_base_layer`,
`lora_A`), not by their classes. A model may hold several named adapters: the active ones act, and an active adapter
trains if its parameters require gradients. All others keep their bits, whatever their names.
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
    """Returns the names of the adapters that act in a tuner layer: the layer holds them, and they are active and on."""
    if layer._disable_adapters:
        return []
    active = layer.active_adapters
    return [name for name in ([active] if isinstance(active, str) else active) if name in held_by(layer)]


def acting_adapters(model: nn.Module) -> list[str]:
    """Returns the names of the adapters that act somewhere in a model, each once."""
    layers: list[Any] = tuner_layers(model)
    return list(dict.fromkeys(name for layer in layers for name in acting_in(layer)))


def trained_adapters(model: nn.Module) -> list[str]:
    """Returns the names of the adapters that act in a model and have parameters that require gradients, each once."""
    names: dict[str, None] = {}
    for layer in tuner_layers(model):
        held = held_by(layer)
        names |= dict.fromkeys(name for name in acting_in(layer) if any(p.requires_grad for p in held[name]))
    return list(names)


def idle_adapters(model: nn.Module) -> list[str]:
    """Returns the names of the adapters that a model holds and that act nowhere in it, sorted."""
    layers: list[Any] = tuner_layers(model)
    return sorted({name for layer in layers for name in held_by(layer)} - set(acting_adapters(model)))


def active_configs(model: nn.Module) -> list[Any]:
    """Returns PEFT's configurations of the active adapters, including virtual tokens, which have no layers."""
    configs: Any = getattr(model, "peft_config", {})
    wrapper: Any = getattr(model, "active_adapter", None)  # a method where transformers put the adapter on
    named = [wrapper] if isinstance(wrapper, str) else list(wrapper) if isinstance(wrapper, list) else []
    return [configs[name] for name in dict.fromkeys([*acting_adapters(model), *named]) if name in configs]


def weight_layers(model: nn.Module) -> list[Any]:
    """Returns the tuner layers that change a weight; trained copies of modules (`modules_to_save`) do not."""
    return [layer for layer in tuner_layers(model) if hasattr(layer, "merge") and hasattr(layer, "get_base_layer")]


@contextmanager
def adapters_off(
    model: nn.Module, only: Sequence[nn.Module] | None = None, staying: Collection[str] = ()
) -> Iterator[None]:
    """Switches adapters off for a block and restores them.

    It sets the layers' flags, because PEFT's `disable_adapter()` re-enables the gradients of frozen adapter weights
    when it leaves.

    Args:
        model: The model.
        only: The tuner layers to switch; all by default.
        staying: Names of the adapters that stay on.
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
    """Returns the adapter's parameters in a tuner layer, without those of the wrapped layer (a trained bias)."""
    wrapped = getattr(layer, "base_layer", None)
    kept = {id(p) for p in wrapped.parameters()} if isinstance(wrapped, nn.Module) else set()
    return [p for p in layer.parameters() if id(p) not in kept]


def plain_name(name: str) -> str:
    """Returns the name that a parameter of the base, or its trained copy, has in a model without adapters."""
    return re.sub(r"\.base_layer|\.modules_to_save\.[^.]+", "", name.removeprefix("base_model.model."))


EXACT = 1024
"""Smaller side of a matrix up to which all its singular values are computed."""


@dataclasses.dataclass
class Adapted:
    """A weight of the base that an adapter changes.

    Attributes:
        name: Name of the weight in a model without adapters.
        param: The weight of the base, frozen.
        layers: The tuner layers around it in which an adapter acts, the innermost first.
    """

    name: str
    param: nn.Parameter
    layers: list[Any]

    @torch.no_grad()
    def tuned(self, without: Collection[str] = ()) -> Tensor:
        """Returns the weight with its adapters merged in, in float32 or wider; the base keeps its bits.

        It merges into a wide copy: unmerging would not restore the base's bits, and 16 bits would round away the change
        of a float32 adapter.

        Args:
            without: Names of the adapters to leave out.
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


def is_shared(model: nn.Module, weight: Adapted) -> bool:
    """Returns whether another layer than the adapted one has the same weight (an embedding tied to the head)."""
    adapted_layer, param = weight.layers[0].get_base_layer(), weight.param
    others = (module for module in model.modules() if module is not adapted_layer)
    return any(p is param for module in others for p in module._parameters.values())


def adapted(model: nn.Module) -> list[Adapted]:
    """Returns the weights of the base that the acting adapters change, in the model's order."""
    layers: dict[int, list[Any]] = {}
    for layer in reversed(weight_layers(model)):  # `modules()` yields an outer wrapper before the inner one
        if acting_in(layer):
            layers.setdefault(id(layer.get_base_layer()), []).append(layer)
    owners = {id(p): around for around in layers.values() for p in _changed(around[0].get_base_layer(), around)}
    return [Adapted(plain_name(name), p, owners[id(p)]) for name, p in model.named_parameters() if id(p) in owners]


def _changed(base_layer: nn.Module, layers: list[Any]) -> list[nn.Parameter]:
    named = {getattr(layer, "parameter_name", "weight") for layer in layers}
    return [p for name, p in base_layer.named_parameters() if name in named]


def low_rank(change: Tensor, rank: int, *, exact: bool = False) -> tuple[Tensor, Tensor]:
    """Returns the factors (B, A) of the best approximation of a change at a rank; each takes the root of the values.

    Args:
        change: `[out, in]`. Above the size `EXACT`, a random projection with a fixed seed gives the singular vectors;
            it is exact up to rounding if the change has at most that rank.
        rank: Rank of the factors; zeros fill what exceeds the change's size.
        exact: Whether to compute all singular values at any size.

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
    """Returns whether an adapter of a tuner layer adds the product B A to a matrix and does nothing else."""
    return (
        adapter in getattr(layer, "lora_A", {})
        and adapter not in getattr(layer, "lora_variant", {})
        and not hasattr(layer, "lora_E")
        and not hasattr(layer, "parameter_name")
        and layer.get_base_layer().weight.dim() == 2
    )


def has_biases(layer: Any, adapter: str) -> bool:
    """Returns whether an adapter of a tuner layer trains a bias beside its factors (PEFT's `lora_bias`)."""
    return bool(getattr(layer, "lora_bias", {}).get(adapter))


def factors_for(layer: Any, change: Tensor, rank: int, adapter: str) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the factors (B, A) with which a plain LoRA layer best approximates `change`, and the change they make.

    Args:
        layer: The tuner layer; it is not changed.
        change: Change of the layer's weight, in the orientation in which the layer stores it.
        rank: Rank of the factors; it may differ from the adapter's.
        adapter: Name of the adapter.
    """
    turned = bool(getattr(layer, "fan_in_fan_out", False))
    scaling = layer.scaling[adapter]
    b, a = low_rank((change.T if turned else change) / scaling, rank)
    up, down = b.to(layer.lora_B[adapter].weight.dtype), a.to(layer.lora_A[adapter].weight.dtype)
    held = scaling * (up.to(b.dtype) @ down.to(a.dtype))
    return up, down, held.T if turned else held


def put_factors(layer: Any, up: Tensor, down: Tensor, adapter: str) -> None:
    """Puts the factors B (`up`) and A (`down`), of any common rank, into a plain LoRA layer."""
    layer.lora_A[adapter].weight.data, layer.lora_B[adapter].weight.data = down, up
    rank = len(down)
    layer.lora_A[adapter].out_features = layer.lora_B[adapter].in_features = layer.r[adapter] = rank


def widen(config: Any, times: int) -> None:
    """Multiplies the ranks in an adapter's configuration by `times`, and the alphas to keep the scale."""
    factor = math.sqrt(times) if config.use_rslora else times
    config.r, config.lora_alpha = config.r * times, config.lora_alpha * factor
    config.rank_pattern = {name: rank * times for name, rank in config.rank_pattern.items()}
    config.alpha_pattern = {name: alpha * factor for name, alpha in config.alpha_pattern.items()}
