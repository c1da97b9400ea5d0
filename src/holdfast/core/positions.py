"""From `[B, T]` tensors as a training loop has them to the flat tokens that the formulas are written for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def per_position(
    term: Callable[[Tensor, Tensor, Tensor], Tensor], logits_BTV: Tensor, base_logits_BTV: Tensor, labels_BT: Tensor
) -> Tensor:
    """Returns `term` at every supervised position: `out[b, t]` scores `labels[b, t + 1]`, 0 elsewhere.

    Args:
        term: `(logits_NV, base_logits_NV, labels_N) -> [N]` nats.
        logits_BTV: Any float dtype; taken to float32 unless float64.
        base_logits_BTV: Likewise.
        labels_BT: Unshifted labels, -100 ignored.

    Returns:
        `[B, T]`; the last column is 0.

    Raises:
        ValueError: The shapes do not agree.
    """
    if logits_BTV.shape != base_logits_BTV.shape or logits_BTV.shape[:2] != labels_BT.shape:
        raise ValueError(
            f"logits {tuple(logits_BTV.shape)}, base logits {tuple(base_logits_BTV.shape)} and labels"
            f" {tuple(labels_BT.shape)} must be [B, T, V], [B, T, V] and [B, T]."
        )
    wide = torch.float64 if logits_BTV.dtype == torch.float64 else torch.float32
    scored = torch.zeros_like(labels_BT, dtype=torch.bool)
    scored[:, :-1] = labels_BT[:, 1:] != -100
    labels_N = labels_BT[:, 1:][scored[:, :-1]]
    term_N = term(logits_BTV[scored].to(wide), base_logits_BTV[scored].to(wide), labels_N)
    return torch.zeros(labels_BT.shape, dtype=wide, device=logits_BTV.device).masked_scatter(scored, term_N)
