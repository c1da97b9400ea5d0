"""How surprising examples are to a model, and where it confidently contradicts them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from holdfast.core.head import Head
from holdfast.core.mix import Example
from holdfast.core.teacher import evaluating
from holdfast.probes.batching import tokens_of
from holdfast.probes.likelihood import Window, by_document, features_of, padded, pieces_of

SURE = 0.9
"""Probability from which a model is sure of a token."""


@dataclasses.dataclass(frozen=True)
class Surprise:
    """What a model thinks of one example.

    Attributes:
        origin: The origin of the example.
        nats: Sum of the negative log-likelihood over the supervised tokens, in nats.
        tokens: Number of supervised tokens.
        conflicts: Number of these at which the model is sure of another token.
    """

    origin: str
    nats: float
    tokens: int
    conflicts: int


def surprise(
    model: nn.Module, examples: Sequence[Example], *, batch_tokens: int | None = None, pad_id: int = 0
) -> list[Surprise]:
    """Returns the surprise of each example with a supervised token, in order; the model stays as it is.

        conflict at t:   max_v p(v | tokens_<=t) >= 0.9  at a token v that is not the label

    Args:
        model: A causal language model whose output has `logits` `[B, T, V]`.
        examples: Examples with unshifted labels, -100 where nothing is supervised; each is one document.
        batch_tokens: Most tokens of a batch, padding included.
        pad_id: Token id of the padding.

    Reference:
        Confident disagreement as a sign of a wrong label: Northcutt, Jiang and Chuang, Confident Learning, 2021, arXiv
        1911.00068. The paper's probabilities come from held-out folds of a classifier; ours from the base.
    """
    if not examples:
        return []
    numbered = [dataclasses.replace(example, origin=str(number)) for number, example in enumerate(examples)]
    conflicts = [0] * len(numbered)
    device = next(model.parameters()).device
    with evaluating(model), torch.random.fork_rng([device] if device.type == "cuda" else []):
        head = Head(model)

        def score(batch: Sequence[Window]) -> list[tuple[float, int]]:
            nats_B, count_B, conflicts_B = _rows(head, batch, pad_id)
            for window, count in zip(batch, conflicts_B, strict=True):
                conflicts[window.document] += count
            return list(zip(nats_B, count_B, strict=True))

        documents = by_document(model, numbered, score, tokens_of(model, batch_tokens))
    return [
        Surprise(examples[number].origin, document.nats, document.tokens, conflicts[number])
        for document in documents
        for number in (int(document.origin),)
    ]


def _rows(head: Head, batch: Sequence[Window], pad_id: int) -> tuple[list[float], list[int], list[int]]:
    """Returns nats, number of supervised tokens and number of conflicts of each window of a batch."""
    input_ids_BT, labels_BT, mask_BT = padded(batch, pad_id)
    next_BT = labels_BT[:, 1:]
    row_N, position_N = (next_BT != -100).nonzero(as_tuple=True)
    features_NX = features_of(head, row_N, position_N, input_ids_BT, mask_BT)
    label_N = next_BT[row_N, position_N]
    nats_N, conflict_N = _tokens(head, features_NX, label_N)
    size = len(batch)
    nats_B = torch.zeros(size, dtype=torch.float64).index_add_(0, row_N, nats_N)
    conflicts_B = torch.bincount(row_N[conflict_N], minlength=size)
    return nats_B.tolist(), torch.bincount(row_N, minlength=size).tolist(), conflicts_B.tolist()


def _tokens(head: Head, features_NX: Tensor, label_N: Tensor) -> tuple[Tensor, Tensor]:
    """Returns -log p of each label in nats, `[N]` float64, and whether the model is sure of another token, `[N]`."""
    nats, conflicts = [torch.zeros(0, dtype=torch.float64)], [torch.zeros(0, dtype=torch.bool)]
    for rows in pieces_of(head, len(label_N)):
        logits_CV = head.logits(features_NX[rows])
        wide = torch.promote_types(logits_CV.dtype, torch.float32)
        log_p_CV = torch.log_softmax(logits_CV.to(wide), dim=-1)
        label_C = label_N[rows].to(log_p_CV.device)
        best_C, token_C = log_p_CV.max(dim=-1)
        nats.append(-log_p_CV.gather(1, label_C[:, None])[:, 0].cpu().double())
        conflicts.append(((best_C.exp() >= SURE) & (token_C != label_C)).cpu())
    return torch.cat(nats), torch.cat(conflicts)
