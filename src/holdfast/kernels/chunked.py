"""A loss over many units, chunk by chunk, so that the logits of all units never exist at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import linear

CHUNK_ELEMENTS = {"cpu": 2**22, "cuda": 2**26}
"""Logits that one chunk may hold, by kind of device: 16 MiB per float32 buffer of the loss on a processor, where that
is also faster (caches), and 256 MiB on a GPU, which wants tall products. Other devices take the larger."""

ChunkLoss = Callable[[slice, Tensor, Tensor], Tensor]
"""`(rows, features_CX, logits_CV) -> scalar`: the summed loss of the units in `rows`, with a graph to both."""


class _Chunked(Function):
    """Takes each chunk's gradient as soon as its loss is known, and keeps only those gradients."""

    @staticmethod
    def forward(
        ctx: Any, loss_of: ChunkLoss, chunk: int, features_NX: Tensor, weight_VX: Tensor | None, bias_V: Tensor | None
    ) -> Tensor:
        tensors = (features_NX, weight_VX, bias_V)
        wanted = [t is not None and need for t, need in zip(tensors, ctx.needs_input_grad[2:], strict=True)]
        # Gradients are summed and kept in (at least) float32, and cast only after the incoming gradient (a gradient
        # scaler's factor) has multiplied them. What float16 features themselves cannot hold is lost all the same.
        wide = torch.float64 if features_NX.dtype == torch.float64 else torch.float32
        grads = [
            torch.zeros_like(t, dtype=wide) if t is not None and w else None
            for t, w in zip(tensors, wanted, strict=True)
        ]
        total = features_NX.new_zeros((), dtype=wide)
        for start in range(0, features_NX.shape[0], chunk):
            rows = slice(start, min(start + chunk, features_NX.shape[0]))
            with torch.enable_grad():
                part = features_NX[rows].detach().requires_grad_(wanted[0])
                weight = weight_VX.detach().requires_grad_(wanted[1]) if weight_VX is not None else None
                bias = bias_V.detach().requires_grad_(wanted[2]) if bias_V is not None else None
                logits = part if weight is None else linear(part, weight, bias)
                loss = loss_of(rows, part, logits)
            total += loss.detach()
            leaves = [leaf for leaf, w in zip((part, weight, bias), wanted, strict=True) if leaf is not None and w]
            if not leaves or not loss.requires_grad:
                continue
            own = iter(torch.autograd.grad(loss, leaves))
            for i, grad in enumerate(grads):
                if grad is not None:
                    (grad[rows] if i == 0 else grad).add_(next(own))
        ctx.save_for_backward(*grads)
        ctx.dtypes = [t.dtype if t is not None else None for t in tensors]
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        scaled = [
            None if grad is None else (grad * grad_outputs[0]).to(dtype)
            for grad, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return None, None, *scaled


def chunked_loss(
    loss_of: ChunkLoss,
    features_NX: Tensor,
    weight_VX: Tensor | None = None,
    bias_V: Tensor | None = None,
    *,
    chunk: int | None = None,
) -> Tensor:
    """Returns the sum of `loss_of` over all units, without keeping more than one chunk of logits.

    Args:
        loss_of: Summed loss of a chunk; called once per chunk, in order, with autograd on.
        features_NX: Hidden states `[N, D]` when a head is given, else logits `[N, V]`; any float dtype.
        weight_VX: Weight of a linear head, `[V, D]`; gets its gradient when it requires one.
        bias_V: Its bias.
        chunk: Units per chunk; by default as many as make `CHUNK_ELEMENTS` logits.

    Returns:
        A float32 (float64 for float64 features) scalar in nats; its backward reaches features, weight and bias.
    """
    vocabulary = features_NX.shape[-1] if weight_VX is None else weight_VX.shape[0]
    elements = CHUNK_ELEMENTS.get(features_NX.device.type, CHUNK_ELEMENTS["cuda"])
    chunk = chunk or max(1, elements // max(vocabulary, 1))
    total: Tensor = _Chunked.apply(loss_of, chunk, features_NX, weight_VX, bias_V)  # type: ignore[no-untyped-call]
    return total
