"""Mask the Target: stay close to the base on everything but the token being learned."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.core.method import Method, State
from holdfast.core.positions import per_position
from holdfast.core.settings import setting
from holdfast.core.softmax import forward_kl
from holdfast.core.tokens import Tokens


def non_target_kl(logits_NV: Tensor, base_logits_NV: Tensor, labels_N: Tensor, certain: float = 1e-4) -> Tensor:
    """Returns KL(base || tuned) over all tokens but the target, each side renormalised without it.

    Args:
        logits_NV: Logits of the model being trained, float32 or wider; gradients flow.
        base_logits_NV: Logits of the frozen base; detached here.
        labels_N: Targets y, int64.
        certain: The result is 0 where the base gives the target more than 1 - `certain`, because nothing is left to
            compare.

    Returns:
        `[N]` nats, >= 0 up to rounding.
    """
    return forward_kl(logits_NV, base_logits_NV.detach().to(logits_NV.dtype), labels_N, certain)


def mask_the_target(logits_BTV: Tensor, base_logits_BTV: Tensor, labels_BT: Tensor, certain: float = 1e-4) -> Tensor:
    """Returns the Mask-the-Target penalty of each position, to be summed and divided by the trained tokens.

        out[b, t] = KL(p_b^{not y} || p_a^{not y}),   p^{not y}(c) = p(c) / (1 - p(y)) for c != y = labels[b, t + 1]

    Args:
        logits_BTV: Logits of the model being trained, any float dtype; gradients flow.
        base_logits_BTV: Logits of the frozen base on the same inputs.
        labels_BT: Token ids, int64, unshifted; -100 marks an unsupervised position.
        certain: Positions where the base gives the target more than 1 - `certain` are 0 (the paper's tau).

    Returns:
        `[B, T]` nats in float32 (float64 for float64 logits); 0 where nothing is supervised, and in the last column.
    """
    return per_position(
        lambda logits, base, labels: non_target_kl(logits, base, labels, certain),
        logits_BTV,
        base_logits_BTV,
        labels_BT,
    )


@dataclasses.dataclass(frozen=True, repr=False)
class MaskTheTarget(Method):
    """Adds a KL to the base over all but the target.

    Adds the divergence from the base over all tokens but the target, at each supervised position.

        L = L_CE + strength * (1/|M|) sum_{t in M} KL(p_b^{not y_t} || p_a^{not y_t})

    p_b is the prediction of the frozen base, p_a that of the model, y_t the target, and M the set of supervised
    positions. The probability of the target itself is free to move, so the penalty does not work against the task.

    Args:
        strength: Coefficient of the term (the paper's lambda).
        certain: Positions where the base gives the target more than 1 - `certain` carry no term (the paper's tau).
        on: The tokens with this term: "new", "memory" (those of old examples), or "all".

    Reference:
        Xu, Garg, Saratchandran, Lucey, Mask the Target, 2026, arXiv 2605.29498, eq. 4-6.

    Confidence:
        text: We read the full text and its appendix.

    Cost:
        One forward of the base. Once for each row if rows come again (`Train(base_cache=)`). Also a copy of the base's
        weights in full training.

    Departs:
        The sum is divided by all supervised tokens of the step, not by |M| without the certain positions (0.1-0.2% of
        them in the paper). The paper's clamp on 1 - p_a(y) is not needed: the target is masked before the softmax. On
        a reranker, a row is a query, c runs over its documents, y is the set of relevant ones, and `certain` does not
        act: a query with a certain answer still has an order among its other documents.
    """

    strength: float = setting(1.0, unit="1", low=0.0, search=(0.1, 10.0), log=True, role="strength")
    certain: float = setting(1e-4, unit="probability", low=0.0, high=1.0)
    on: str = setting("all", unit="tokens", choices=("new", "memory", "all"), role="tokens")

    reads: ClassVar[frozenset[str]] = frozenset({"base_rest_kl_N", "base_rest_N"})

    def token_loss(self, state: State, tok: Tokens) -> Tensor:
        """Returns `strength * non_target_kl`."""
        if tok.targets_NV is not None:  # documents of queries, of which several may be relevant
            logits_NV, base_logits_NV = tok.without_targets(tok.logits_NV), tok.without_targets(tok.base_logits_NV)
            return self.strength * non_target_kl(logits_NV, base_logits_NV, tok.labels_N, self.certain)
        kl_N = tok.base_rest_kl_N
        return self.strength * torch.where(tok.base_rest_N < self.certain, torch.zeros_like(kl_N), kl_N)
