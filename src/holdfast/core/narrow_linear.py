"""Linear layers whose frozen weights stay in the 16 bits of their file while the model computes in float32.

A layer widens its weight for each product, in the forward and in the backward, and keeps only the 16-bit weight between
the two. Every 16-bit number is also a float32 number, so the results equal those of float32 weights to the bit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

NARROW = (torch.bfloat16, torch.float16)


class _Widened(torch.autograd.Function):
    """The product of an input with a frozen 16-bit weight, widened only for the product."""

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
    """A frozen linear layer with a 16-bit weight; its input, bias and output are float32."""

    def forward(self, input: Tensor) -> Tensor:
        """Returns the product in the dtype of the input; under autocast it acts as every linear layer."""
        narrow = self.weight.dtype in NARROW and input.dtype != self.weight.dtype
        if not narrow or torch.is_autocast_enabled(input.device.type):
            return super().forward(input)
        if self.weight.requires_grad:  # `_Widened` gives the weight no gradient
            return linear(input, self.weight.to(input.dtype), self.bias)
        product: Tensor = _Widened.apply(input, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return product


def keep_narrow(model: Any, wide: dict[str, Tensor]) -> int:
    """Keeps the weights of a model's linear layers in 16 bits, converts the rest to float32; returns how many stay.

    Embeddings and the head become float32, because losses read their weights directly. So does everything that is not
    a plain linear layer (stacked experts, convolutions).

    Args:
        model: A model loaded in 16 bits.
        wide: Float32 values, by name, of the buffers that no file holds: the model computed them in 16 bits, and
            widening would not restore the lost bits.

    Returns:
        Number of weights (entries) that stay in 16 bits.
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
    modules = [getattr(model, name, lambda: None)() for name in ("get_input_embeddings", "get_output_embeddings")]
    return [module for module in modules if module is not None]
