"""Which entries of a tensor are the largest."""

from __future__ import annotations

import torch
from torch import Tensor


def largest(score: Tensor, count: int) -> Tensor:
    """Returns a mask of exactly `count` entries of `score`: the largest, of equal ones those that come first.

    NaN counts as the largest, so that it is not hidden; minus infinity is never among them, and then they are fewer.
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
