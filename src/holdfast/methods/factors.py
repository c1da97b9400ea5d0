"""The two factors of plain LoRA layers: found, written, and taken out of the weight under them."""

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
        linear.weight.data = value.to(linear.weight.dtype).contiguous()


def move_into(layer: Any, b: Tensor, a: Tensor) -> None:
    """Puts factors into a plain LoRA layer and takes what they add from its frozen weight."""
    weight = layer.get_base_layer().weight
    part = layer.scaling[NAME] * (b @ a)
    turned = part.T if layer.fan_in_fan_out else part
    weight.data = (weight.data.to(part.dtype) - turned).to(weight.dtype)
    put_into(layer, b, a)


def weight_of(layer: Any) -> Tensor:
    """Returns the frozen weight under a LoRA layer, `[out, in]`."""
    weight: Tensor = layer.get_base_layer().weight.detach()
    return weight.T if layer.fan_in_fan_out else weight


def lora_by(run: Run, method: Adapter, **settings: Any) -> Any:
    """Returns `run.model` with a LoRA by a method's settings `rank`, `alpha` (2 * rank if None) and `dropout`.

    Args:
        run: The run, whose model carries no adapter.
        method: The method.
        settings: Further fields of PEFT's LoraConfig.

    Raises:
        HoldfastError: As `holdfast.methods.adapter.adapt`.
    """
    import peft

    own: Any = method
    alpha = 2 * own.rank if own.alpha is None else own.alpha
    return adapt(run, method, peft.LoraConfig, r=own.rank, lora_alpha=alpha, lora_dropout=own.dropout, **settings)


def lora_and_moments(run: Run, method: Adapter) -> tuple[Any, list[tuple[Any, Tensor | None]]]:
    """Returns `run.model` with a LoRA, and each of its layers with what the old examples make it read.

    Args:
        run: The run, whose model carries no adapter.
        method: The method, with the settings of `lora_by`, `memory` and `samples` (most old examples that are read).

    Returns:
        The PEFT model, and for each layer the uncentred second moment of its inputs, `[in, in]`; None for a layer that
        no old example reaches.

    Raises:
        HoldfastError: As `lora_by`; a memory has nothing to learn; or the stacked experts of a mixture are among the
            layers, and the model is as it was.
    """
    own: Any = method
    examples = old_examples(run, method, own.samples)
    model = lora_by(run, method)
    carrying: list[Any] = weight_layers(model)
    if any(hasattr(layer, "parameter_name") for layer in carrying):
        model.unload()
        raise HoldfastError(
            f"{method!r}: the inputs of a mixture's stacked experts are not looked at; give targets='attention'."
        )
    names = {id(module): name for name, module in model.named_modules()}
    layers = {plain_name(names[id(layer)]): layer for layer in carrying}
    # A fresh LoRA's B is zero, so that the model still reads what it read without the adapter.
    moments = second_moments(dataclasses.replace(run, model=model), examples, wanted=layers.__contains__)
    return model, [(layer, moments.get(name)) for name, layer in layers.items()]
