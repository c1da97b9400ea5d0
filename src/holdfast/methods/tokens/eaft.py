"""EAFT: each token counts in proportion to the entropy of the model's prediction."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

from torch import Tensor

from holdfast.core.method import Method, State
from holdfast.core.settings import setting
from holdfast.core.tokens import Tokens


def eaft(logits_NV: Tensor, top: int = 20, scale: str = "ln K", power: float = 1.0) -> Tensor:
    """Returns `(H / scale)^power`, where H is the entropy of the `top` likeliest tokens, renormalised among themselves.

    Args:
        logits_NV: Logits of the model; no gradient flows.
        top: The paper's K; 0, or a number above the size of the vocabulary, takes the whole vocabulary.
        scale: "ln K", the largest possible entropy, or "3".
        power: The paper's alpha.

    Returns:
        `[N]`, from 0 to 1 (to 0.9986 for "3" and K = 20); 1 everywhere at power 0.
    """
    vocabulary = logits_NV.shape[-1]
    kept = vocabulary if top == 0 else min(top, vocabulary)
    logits_NV = logits_NV.detach()
    logp_NK = (logits_NV if kept == vocabulary else logits_NV.topk(kept, -1).values).log_softmax(-1)
    # A token of probability 0 adds 0, although its logarithm is minus infinity.
    entropy_N = -(logp_NK.exp() * logp_NK.clamp(min=-1e30)).sum(-1).clamp(max=0.0)
    return (entropy_N / (3.0 if scale == "3" else math.log(max(kept, 2)))) ** power


@dataclasses.dataclass(frozen=True, repr=False)
class EAFT(Method):
    """Weighs each token by the entropy there.

    Multiplies the loss of each token by the entropy of the model's prediction there.

        L = -(1/N) sum_t sg[H_t / ln K]^power log p_t,   H_t = -sum_{i in top K} q_i log q_i

    q is the prediction restricted to its K likeliest tokens and renormalised. Where the model is sure (H_t near 0), it
    learns nothing: neither tokens that it knows nor tokens that contradict it.

    Args:
        top: K, the number of likeliest tokens in the entropy; 0 for the whole vocabulary.
        scale: Divisor of the entropy: "ln K", its largest value (the paper), or "3" (published code; 0.1% from ln 20).
        power: The paper's alpha. 0 weighs all tokens alike; larger values suppress sure predictions more strongly.
        on: The weighed tokens: "new", "memory" (those of old examples), or "all"; the others count in full.

    Reference:
        Diao et al., Entropy-Adaptive Fine-Tuning: Resolving Confident Conflicts to Mitigate Forgetting, 2026, arXiv
        2601.02151; constants as in LLaMA-Factory's implementation.

    Confidence:
        code: The formula is the paper's as implemented in LLaMA-Factory; we read parts of the paper.

    Cost:
        Next to nothing. It takes a top-k of the logits.

    Departs:
        With "3" and a K above 20 the factor can exceed 1, as in the published code. The paper has no rehearsal; here
        rehearsed tokens count in full unless `on` includes them. The loss is divided by all supervised tokens, so small
        weights make small steps (Adam undoes a common factor).
    """

    top: int = setting(20, unit="tokens", low=0, integer=True, search=(5, 100))
    scale: str = setting("ln K", unit="nats", choices=("ln K", "3"))
    power: float = setting(1.0, unit="1", low=0.0, search=(0.5, 3.0))
    on: str = setting("new", unit="tokens", choices=("new", "memory", "all"), role="tokens")

    once: ClassVar[str] = "two of them would multiply; raise power instead."

    def weigh_tokens(self, state: State, tok: Tokens) -> Tensor:
        """Returns `eaft`."""
        return eaft(tok.logits_NV, self.top, self.scale, self.power)
