"""A precision that can hold the change since the base, for all edits of weights."""

from __future__ import annotations

import torch
from torch import Tensor


def wide(*weights: Tensor) -> tuple[Tensor, ...]:
    """Returns the weights in float32; float64 weights stay float64."""
    return tuple(weight if weight.dtype == torch.float64 else weight.float() for weight in weights)
