"""The means of the base's head (`holdfast.core.base_means`), block by block, so that no logits of all tokens exist."""

from __future__ import annotations

import torch
from torch import Tensor

from holdfast.core.base_means import BaseMeans
from holdfast.core.softmax import parted_base
from holdfast.kernels.chunked import Casts, product, sizes, slices, wide


@torch.no_grad()
def base_means(
    hidden_ND: Tensor,
    labels_N: Tensor,
    head: tuple[Tensor, Tensor | None],
    casts: Casts,
    chunk: int | None = None,
) -> BaseMeans:
    """Returns the base's means of N tokens: two products with the head for each block, forth and back.

    Args:
        hidden_ND: The head's input in the base.
        labels_N: Target ids, int64.
        head: Weight `[V, D]` and bias `[V]` of the head.
        casts: Copies of the head's weights in the precision of the product.
        chunk: As in `chunked_loss`.
    """
    weight_VD, bias_V = casts(head[0]), None if head[1] is None else casts(head[1])
    tokens, exact = len(labels_N), torch.float64 if hidden_ND.dtype == torch.float64 else torch.float32
    mean_ND = torch.empty(tokens, weight_VD.shape[1], dtype=exact, device=hidden_ND.device)
    parted_2N = torch.empty(2, tokens, dtype=exact, device=hidden_ND.device)
    chunk, block = sizes(tokens, weight_VD.shape[0], hidden_ND.device, chunk)
    for rows in slices(0, tokens, block):
        logits_PV = product(hidden_ND[rows], weight_VD, bias_V)
        for few in slices(rows.start, rows.stop, chunk):
            here = slice(few.start - rows.start, few.stop - rows.start)
            parted_2N[:, few], shares_CV = parted_base(wide(logits_PV[here]), labels_N[few])
            logits_PV[here] = shares_CV  # in the place of the logits, as the gradients of `chunked_loss`
        mean_ND[rows] = (logits_PV @ weight_VD).to(exact)
        del logits_PV  # frees the memory before the next block is computed
    return BaseMeans.of(mean_ND, hidden_ND, parted_2N)
