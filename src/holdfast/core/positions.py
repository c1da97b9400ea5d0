"""Applies formulas for flat tokens, `[N]`, to the `[B, T]` tensors of a training loop."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def per_position(
    term: Callable[[Tensor, Tensor, Tensor], Tensor], logits_BTV: Tensor, base_logits_BTV: Tensor, labels_BT: Tensor
) -> Tensor:
    """Returns `term` at every supervised position, and 0 elsewhere: `out[b, t]` belongs to `labels[b, t + 1]`.

    Args:
        term: `(logits_NV, base_logits_NV, labels_N) -> [N]` nats.
        logits_BTV: Any float dtype; converted to float32 unless it is float64.
        base_logits_BTV: Logits of the base, likewise.
        labels_BT: Unshifted labels; -100 is ignored.

    Returns:
        Nats `[B, T]`, float32 or float64; the last column is 0.

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
