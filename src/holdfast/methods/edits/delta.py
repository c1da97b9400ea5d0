"""What all edits of weights have in common: the change since the base, in a precision that can hold it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

NO_ADAPTER: Mapping[str, str] = {"LoRA": "it edits whole weights, and an adapter has none; merge the adapter first."}
"""What a method that edits whole weights excludes."""


def wide(*weights: Tensor) -> tuple[Tensor, ...]:
    """Returns the weights in float32, in float64 where they are that."""
    return tuple(weight if weight.dtype == torch.float64 else weight.float() for weight in weights)
