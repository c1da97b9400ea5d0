"""The two factors of plain LoRA layers: write them, and subtract their product from the weight under them."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from holdfast.core.adapters import plain_name, weight_layers
from holdfast.core.errors import HoldfastError
from holdfast.core.run import Run
from holdfast.methods.activations import second_moments
from holdfast.methods.adapter import NAME, Adapter, adapt
from holdfast.methods.memory import old_examples


def put_into(layer: Any, b: Tensor, a: Tensor) -> None:
    """Writes the factors of a plain LoRA layer."""
    for linear, value in ((layer.lora_B[NAME], b), (layer.lora_A[NAME], a)):
        linear.weight.data = value.to(linear.weight).contiguous()


def move_into(layer: Any, b: Tensor, a: Tensor) -> None:
    """Writes the factors of a plain LoRA layer, and subtracts their product from its frozen weight."""
    weight = layer.get_base_layer().weight
    part = layer.scaling[NAME] * (b @ a)
    turned = part.T if layer.fan_in_fan_out else part
    weight.data = (weight.data.to(part) - turned).to(weight)
    put_into(layer, b, a)


def weight_of(layer: Any) -> Tensor:
    """Returns the frozen weight under a LoRA layer, `[out, in]`."""
    weight: Tensor = layer.get_base_layer().weight.detach()
    return weight.T if layer.fan_in_fan_out else weight


def lora_by(run: Run, method: Adapter, **settings: Any) -> Any:
    """Returns `run.model` with a LoRA with a method's settings `rank`, `alpha` (2 * rank if None) and `dropout`.

    Args:
        run: The run, whose model carries no adapter.
        method: The method.
        settings: Further fields of PEFT's LoraConfig.

    Raises:
        HoldfastError: As `holdfast.methods.adapter.adapt`.
    """
    import peft

    lora: Any = method  # it has the fields rank, alpha and dropout
    alpha = 2 * lora.rank if lora.alpha is None else lora.alpha
    return adapt(run, method, peft.LoraConfig, r=lora.rank, lora_alpha=alpha, lora_dropout=lora.dropout, **settings)


def lora_and_moments(run: Run, method: Adapter) -> tuple[Any, list[tuple[Any, Tensor | None]]]:
    """Returns `run.model` with a LoRA, and for each of its layers the second moment of its inputs on old examples.

    Args:
        run: The run, whose model carries no adapter.
        method: The method, with the settings of `lora_by`, `memory` and `samples` (most old examples that are read).

    Returns:
        The PEFT model, and pairs of a layer and the uncentred second moment of its inputs, `[in, in]`; None for a layer
        that no old example reaches.

    Raises:
        HoldfastError: As `lora_by`; a memory has no supervised token; or the layers include stacked experts of a
            mixture. The model is then unchanged.
    """
    with_samples: Any = method
    examples = old_examples(run, method, with_samples.samples)
    model = lora_by(run, method)
    adapted_layers: list[Any] = weight_layers(model)
    if any(hasattr(layer, "parameter_name") for layer in adapted_layers):
        model.unload()
        raise HoldfastError(
            f"{method!r}: it does not support the stacked experts of a mixture; give targets='attention'."
        )
    names = {id(module): name for name, module in model.named_modules()}
    layers = {plain_name(names[id(layer)]): layer for layer in adapted_layers}
    # A fresh LoRA's B is zero, so the layers have the same inputs as without the adapter.
    moments = second_moments(dataclasses.replace(run, model=model), examples, wanted=layers.__contains__)
    return model, [(layer, moments.get(name)) for name, layer in layers.items()]
