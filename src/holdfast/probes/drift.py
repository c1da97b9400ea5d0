"""How far a tuned model has moved from its base: the divergence of what they would say, token by token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from holdfast.core.mix import Example
from holdfast.core.teacher import evaluating
from holdfast.probes.likelihood import CHUNK_LOGITS, DocumentScore, Window, by_document, padded


def drift(
    base: nn.Module,
    tuned: nn.Module,
    examples: Sequence[Example],
    *,
    batch_tokens: int = 8192,
    pad_id: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[DocumentScore]:
    """Returns the divergence of the tuned model from its base on each document.

        KL_i = sum_t sum_v p_base(v | t) (log p_base(v | t) - log p_tuned(v | t)),   over the supervised t

    Both models read the same tokens, each in its own precision; the divergence is taken in float32 and summed in
    float64. Both are left as they were found.

    Args:
        base: The causal language model before.
        tuned: The one after, with the same vocabulary.
        examples: What to read; -100 in `labels` where nothing is supervised.
        batch_tokens: Most tokens of a batch, padding included.
        pad_id: Token id of the padding, which is not attended to.
        progress: Told the number of windows done and their total.

    Returns:
        One score per document with a supervised token; `nats` is the sum of the divergence.

    Reference:
        KL to the base on the prompts of the new task goes with what is forgotten: "RL's Razor", 2025, arXiv:2509.04259.
    """
    with evaluating(base), evaluating(tuned):
        return by_document(examples, lambda batch: _divergence(base, tuned, batch, pad_id), batch_tokens, progress)


def _divergence(base: nn.Module, tuned: nn.Module, batch: Sequence[Window], pad_id: int) -> list[tuple[float, int]]:
    input_ids_BT, labels_BT, mask_BT = padded(batch, pad_id)
    row_N, position_N = (labels_BT[:, 1:] != -100).nonzero(as_tuple=True)
    before_BTV, after_BTV = (_logits(model, input_ids_BT, mask_BT) for model in (base, tuned))
    size = max(1, CHUNK_LOGITS // before_BTV.shape[-1])
    pieces = []
    for rows, positions in zip(row_N.split(size), position_N.split(size), strict=True):
        before_NV = F.log_softmax(before_BTV[rows, positions].float(), dim=-1)
        after_NV = F.log_softmax(after_BTV[rows, positions].float(), dim=-1).to(before_NV.device)
        pieces.append(F.kl_div(after_NV, before_NV, reduction="none", log_target=True).sum(-1).double().cpu())
    nats_B = torch.zeros(len(batch), dtype=torch.float64).index_add_(0, row_N, torch.cat(pieces))
    return list(zip(nats_B.tolist(), torch.bincount(row_N, minlength=len(batch)).tolist(), strict=True))


def _logits(model: nn.Module, input_ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
    device = next(model.parameters()).device
    output: Any = model(input_ids=input_ids_BT.to(device), attention_mask=mask_BT.to(device), use_cache=False)
    logits: Tensor = output.logits
    return logits
