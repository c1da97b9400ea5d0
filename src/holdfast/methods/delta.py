"""What all edits of weights have in common: a precision that can hold the change since the base."""

from __future__ import annotations

import torch
from torch import Tensor


def wide(*weights: Tensor) -> tuple[Tensor, ...]:
    """Returns the weights in float32, in float64 where they are that."""
    return tuple(weight if weight.dtype == torch.float64 else weight.float() for weight in weights)
