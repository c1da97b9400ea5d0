"""Half the squared distance between weights and their start, without a stored difference."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


class _HalfSquare(Function):
    """Stores no difference for the backward pass, which computes it again."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, start: Tensor, precision: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight, start, precision)
        return (_difference(weight, start).square_() * (1.0 if precision is None else precision)).sum() / 2

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        weight, start, precision = ctx.saved_tensors
        grad = _difference(weight, start).mul_(grad_outputs[0])
        if precision is not None:
            grad.mul_(precision)
        return grad.to(weight.dtype), None, None


def half_square(weight: Tensor, start: Tensor, precision: Tensor | None = None) -> Tensor:
    """Returns `sum_i F_i (w_i - s_i)^2 / 2`, a scalar in float32 or wider whose gradient flows to the weight alone.

    Args:
        weight: The weight w, any float dtype.
        start: The weight s to compare with, of the same shape.
        precision: F, of the same shape, float32 or wider; 1 if absent.
    """
    value: Tensor = _HalfSquare.apply(weight, start, precision)  # type: ignore[no-untyped-call]
    return value


def _difference(weight: Tensor, start: Tensor) -> Tensor:
    wide = torch.promote_types(weight.dtype, torch.float32)
    return weight.detach().to(wide) - start.to(device=weight.device, dtype=wide)
