"""The largest entries of a tensor."""

from __future__ import annotations

import torch
from torch import Tensor


def largest(score: Tensor, count: int) -> Tensor:
    """Returns a bool mask, shaped as `score`, of its `count` largest entries; among equal entries the first ones.

    NaN counts as the largest value, so that it stays visible. Minus infinity is never chosen, so the mask may have
    fewer entries.
    """
    flat = torch.where(score.isnan(), torch.inf, score).flatten()
    count = min(count, int((flat > -torch.inf).sum()))
    if count <= 0:
        return torch.zeros_like(score, dtype=torch.bool)
    least = flat.topk(count).values[-1]
    mask = flat > least
    equal = (flat == least).nonzero()[:, 0]
    mask[equal[: count - int(mask.sum())]] = True
    return mask.view_as(score)
