"""Penalties to the base in the space of scores, for your own training loop: scores `[Q, D]` in, nats `[Q]` out.

Each row holds the scores of one query's documents. A list that is shorter than the longest one is filled up with minus
infinity. The recipe's methods compute the same (`BaseKL`, `MaskTheTarget`, `BaseMSE`) from the units of
`holdfast.rerank.units`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from holdfast.methods.losses.base_kl import base_kl_units
from holdfast.methods.losses.base_mse import base_mse_units
from holdfast.methods.losses.mask_the_target import non_target_kl


def list_kl(scores_QD: Tensor, base_scores_QD: Tensor, direction: str = "forward") -> Tensor:
    """Returns the divergence between the orders of two models over each query's documents.

        KL(p_b || p_a),   p(d) = exp(s_d) / sum_e exp(s_e)         ("reverse": KL(p_a || p_b))

    A constant added to all scores of a query changes nothing.

    Args:
        scores_QD: Scores of the model being trained, float32 or wider; gradients flow.
        base_scores_QD: Scores of the frozen base; detached here.
        direction: "forward" or "reverse".

    Returns:
        `[Q]` nats, 0 at the base.

    Source:
        Cao et al., Learning to Rank: From Pairwise Approach to Listwise Approach, 2007, eq. 3 (ListNet's top-one
        probabilities), with the base's in place of those of the labels.
    """
    return base_kl_units(scores_QD, base_scores_QD, direction)


def order_kl(scores_QD: Tensor, base_scores_QD: Tensor, relevant_QD: Tensor) -> Tensor:
    """Returns the divergence from the base's order among the documents that are not relevant (Mask-the-Target).

        KL(q_b || q_a),   q(d) = exp(s_d) / sum_{e not relevant} exp(s_e)     for d not relevant

    The scores of relevant documents are free: no gradient reaches them.

    Args:
        scores_QD: Scores of the model being trained, float32 or wider; gradients flow.
        base_scores_QD: Scores of the frozen base; detached here.
        relevant_QD: Mask of the relevant documents, bool.

    Returns:
        `[Q]` nats, 0 at the base, and for a query with fewer than two documents that are not relevant.

    Source:
        Xu et al., Mask the Target, 2026, arXiv 2605.29498, eq. 4-6, carried over from tokens to documents.
    """
    spare_Q1 = torch.ones_like(relevant_QD[:, :1])  # to leave out of a query without a relevant document
    left_out_QD = torch.cat([relevant_QD, spare_Q1], -1)
    both = (torch.nn.functional.pad(z, (0, 1)) for z in (scores_QD, base_scores_QD))
    own, base = (z.masked_fill(left_out_QD, -torch.inf) for z in both)
    return non_target_kl(own, base, left_out_QD.to(torch.int8).argmax(-1), certain=0.0)


def pair_kl(scores_N: Tensor, base_scores_N: Tensor, direction: str = "forward") -> Tensor:
    """Returns the divergence between two probabilities of relevance, sigmoid(score), of single documents.

        KL(B(p_b) || B(p_a)),   p = 1 / (1 + exp(-s))               ("reverse" swaps the two)

    Args:
        scores_N: Scores of the model being trained, float32 or wider; gradients flow.
        base_scores_N: Scores of the frozen base; detached here.
        direction: "forward" or "reverse".

    Returns:
        `[N]` nats, 0 at the base.
    """
    return base_kl_units(as_logits(scores_N), as_logits(base_scores_N), direction)


def score_mse(scores_QD: Tensor, base_scores_QD: Tensor) -> Tensor:
    """Returns the mean squared difference between the scores of two models over each query's documents.

    Args:
        scores_QD: Scores of the model being trained, float32 or wider; gradients flow.
        base_scores_QD: Scores of the frozen base; detached here.

    Returns:
        `[Q]`, in squares of a score, 0 at the base.
    """
    return base_mse_units(scores_QD, base_scores_QD)


def as_logits(scores_N: Tensor) -> Tensor:
    """Returns scores as logits `[N, 2]` of "relevant" and "not relevant", whose softmax is sigmoid(score)."""
    return torch.stack([scores_N, torch.zeros_like(scores_N)], -1)
