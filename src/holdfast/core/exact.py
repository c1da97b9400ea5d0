"""float64 numbers on every device: Apple's GPUs (MPS) have none."""

from __future__ import annotations

import torch
from torch import Tensor

WITHOUT = frozenset({"mps"})
"""Kinds of devices that have no float64; torch raises an error for such a tensor there."""


def is_exact(device: torch.device) -> bool:
    """Returns whether a device has float64."""
    return device.type not in WITHOUT


def widest(device: torch.device) -> torch.dtype:
    """Returns the widest floats that a device has."""
    return torch.float64 if is_exact(device) else torch.float32


def exactly(tensor: Tensor) -> Tensor:
    """Returns a tensor in float64, on the CPU if its own device has none."""
    return (tensor if is_exact(tensor.device) else tensor.cpu()).double()
