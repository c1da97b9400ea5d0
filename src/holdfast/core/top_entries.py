"""The largest entries of a tensor."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def largest(score: Tensor, count: int) -> Tensor:
    """Returns a bool mask, shaped as `score`, of its `count` largest entries; among equal entries the first ones.

    NaN counts as the largest value, so that it stays visible. Minus infinity is never chosen, so the mask may have
    fewer entries.
    """
    flat = score.flatten()
    if flat.isnan().any():
        flat = torch.where(flat.isnan(), torch.inf, flat)
    count = min(count, int((flat > -torch.inf).count_nonzero()))
    if count <= 0:
        return torch.zeros_like(score, dtype=torch.bool)
    least = _least(flat, count)
    mask = flat > least
    equal = (flat == least).nonzero()[:, 0]
    mask[equal[: count - int(mask.count_nonzero())]] = True
    return mask.view_as(score)


def _least(flat: Tensor, count: int) -> Tensor:
    """Returns the smallest of the `count` largest entries; on a CPU numpy selects it with a single copy."""
    if flat.device.type == "cpu" and flat.dtype in (torch.float32, torch.float64):
        place = len(flat) - count
        return torch.tensor(np.partition(flat.detach().numpy(), place)[place], dtype=flat.dtype)
    return flat.topk(count).values[-1]
