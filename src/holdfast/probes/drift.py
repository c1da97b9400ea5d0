"""Drift of a tuned model from its base: the KL divergence of their predictions, token by token."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from holdfast.core.head import Head
from holdfast.core.mix import Example
from holdfast.core.teacher import evaluating
from holdfast.probes.batching import tokens_of
from holdfast.probes.likelihood import DocumentScore, Window, by_document, features_of, padded, pieces_of


def drift(
    base: nn.Module,
    tuned: nn.Module,
    examples: Sequence[Example],
    *,
    batch_tokens: int | None = None,
    pad_id: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[DocumentScore]:
    """Returns the divergence of the tuned model from its base on each document.

        KL_i = sum_t sum_v p_base(v | t) (log p_base(v | t) - log p_tuned(v | t)),   over the supervised t

    Both models read the same tokens, each in its own precision; the divergence is taken in float32 and summed in
    float64. Logits are computed for supervised positions alone, in pieces. If one model has more rows of embeddings (as
    padding to a multiple of 64 makes them), v runs over the tokens of both. Both models are unchanged afterwards.

    Args:
        base: The causal language model before training.
        tuned: The model after training, with the same tokens.
        examples: Examples to read; a label of -100 is not supervised.
        batch_tokens: Most tokens of a batch, padding included; usually 8192 if absent.
        pad_id: Token id of the padding, which is not attended to.
        progress: Called with the number of windows done and their total.

    Returns:
        One score per document with a supervised token; `nats` is the sum of the divergence.

    Reference:
        KL to the base on the prompts of the new task goes with what is forgotten: "RL's Razor", 2025, arXiv:2509.04259.
    """
    if not examples:
        return []
    tokens = tokens_of(tuned, batch_tokens)
    with evaluating(base), evaluating(tuned):
        heads = Head(base), Head(tuned)
        return by_document(tuned, examples, lambda batch: _divergence(*heads, batch, pad_id), tokens, progress)


def divergence(before_CV: Tensor, after_CV: Tensor) -> Tensor:
    """Returns KL(before || after) of each row of log-probabilities, `[C]`; what is impossible before counts nothing."""
    apart_CV = F.kl_div(after_CV, before_CV, reduction="none", log_target=True)
    return apart_CV.masked_fill(before_CV.isneginf(), 0.0).sum(-1)


def _divergence(base: Head, tuned: Head, batch: Sequence[Window], pad_id: int) -> list[tuple[float, int]]:
    input_ids_BT, labels_BT, mask_BT = padded(batch, pad_id)
    row_N, position_N = (labels_BT[:, 1:] != -100).nonzero(as_tuple=True)
    before_NX, after_NX = (features_of(head, row_N, position_N, input_ids_BT, mask_BT) for head in (base, tuned))
    pieces, tokens = [], min(base.size, tuned.size)
    for rows in pieces_of(base, len(row_N)):
        before_CV = F.log_softmax(base.logits(before_NX[rows])[:, :tokens].float(), dim=-1)
        after_CV = F.log_softmax(tuned.logits(after_NX[rows])[:, :tokens].float(), dim=-1).to(before_CV.device)
        pieces.append(divergence(before_CV, after_CV).cpu().double())
    nats_B = torch.zeros(len(batch), dtype=torch.float64).index_add_(0, row_N, torch.cat(pieces))
    return list(zip(nats_B.tolist(), torch.bincount(row_N, minlength=len(batch)).tolist(), strict=True))
