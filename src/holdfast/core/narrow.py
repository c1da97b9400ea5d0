"""Frozen weights in the 16 bits of their file, under a forward in 32: what is not trained need not be held wide.

A layer widens its weight for the time of a product, forward and backward, and keeps the narrow one between the two.
Every 16-bit number is one of 32 bits too, so the results are those of weights that were loaded wide, to the bit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

NARROW = (torch.bfloat16, torch.float16)


class _Widened(torch.autograd.Function):
    """The product of an input with a frozen weight that is wide only while it is used."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight_OI)
        return linear(x, weight_OI.to(x.dtype), bias_O)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (weight_OI,) = ctx.saved_tensors
        return grad @ weight_OI.to(grad.dtype), None, None


class NarrowLinear(nn.Linear):
    """A frozen linear layer with a weight of 16 bits and everything else in 32."""

    def forward(self, input: Tensor) -> Tensor:
        """Returns the product in the type of the input; under autocast as every linear layer."""
        narrow = self.weight.dtype in NARROW and input.dtype != self.weight.dtype
        if not narrow or torch.is_autocast_enabled(input.device.type):
            return super().forward(input)
        if self.weight.requires_grad:  # somebody trains it after all
            return linear(input, self.weight.to(input.dtype), self.bias)
        made: Tensor = _Widened.apply(input, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return made


def keep_narrow(model: Any, wide: dict[str, Tensor]) -> int:
    """Leaves the weights of a model's linear layers in 16 bits, raises all else to float32; returns how many stay.

    Embeddings and the head are raised: losses read them past their layers. So are the weights of everything that is no
    plain linear layer (stacked experts, convolutions).

    Args:
        model: A model as loaded in 16 bits.
        wide: Buffers that no file holds, in float32, by name: what was computed in 16 bits is not to be had back.
    """
    model.requires_grad_(False)
    ends = {id(getattr(module, "weight", None)) for module in _ends(model)}
    kept = 0
    for module in model.modules():
        narrow = type(module) is nn.Linear and module.weight.dtype in NARROW and id(module.weight) not in ends
        if narrow:
            module.__class__ = NarrowLinear
            kept += module.weight.numel()
        for name, p in module._parameters.items():
            if p is not None and p.dtype in NARROW and not (narrow and name == "weight"):
                p.data = p.data.float()
    for name, buffer in list(model.named_buffers()):
        if buffer.dtype in NARROW:
            owner, _, last = name.rpartition(".")
            model.get_submodule(owner)._buffers[last] = wide[name].to(buffer.device) if name in wide else buffer.float()
    model.requires_grad_(True)
    return kept


def _ends(model: Any) -> list[nn.Module]:
    found = [getattr(model, name, lambda: None)() for name in ("get_input_embeddings", "get_output_embeddings")]
    return [module for module in found if module is not None]
