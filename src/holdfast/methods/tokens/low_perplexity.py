"""LowPerplexity: the model reads tokens that surprised the base, but does not learn them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method, State
from holdfast.core.run import Run
from holdfast.core.settings import setting
from holdfast.core.tokens import Tokens, is_on


def low_perplexity(base_nll_N: Tensor, threshold: float = 2.5) -> Tensor:
    """Returns a bool `[N]`: True for tokens whose perplexity, e to the base's loss, is at most `threshold`."""
    return base_nll_N <= math.log(threshold)


@dataclasses.dataclass(frozen=True, repr=False)
class LowPerplexity(Method):
    """Leaves tokens that surprised the base out.

    Leaves tokens that surprised the base out of the loss; it chooses them once, before training.

        L = (1/|K|) sum_{t in K} -log p_t,   K = {t : exp(-log p0_t) <= threshold}

    p0_t is the probability of the target under the base, p_t under the model. At a threshold of 2.5 the model does not
    learn tokens to which the base gave a probability below 0.4, about a quarter of human text. They stay in the context
    of later tokens. Such tokens pull the weights furthest from the base.

    Args:
        threshold: The largest perplexity of a token that is learned (the paper's tau); 1 is the smallest possible.
        divide: Divisor of the loss: "kept", the number of learned tokens, as published, or "all", the number of all
            tokens, which makes steps smaller.
        on: The filtered tokens: "new", "memory" (those of old examples), or "all"; the others count in full.

    Reference:
        Wu et al., Mitigating Forgetting in LLM Fine-Tuning via Low-Perplexity Token Learning, 2025, arXiv 2501.14315,
        Selective Token Masking (STM).

    Confidence:
        text: We read the paper and the authors' code.

    Cost:
        One forward over the data before training. Then a look-up per token.

    Departs:
        |K| is the share of kept tokens in the whole data times the number of tokens in the step. The published code
        trains on one row at a time and divides by the tokens kept in that row, so a row with few of them counts as much
        as a row with many. The base is the model at the start of training, adapters included. The method leaves out
        tokens that the base does not know, so the model learns new facts badly. The paper has no rehearsal.
    """

    threshold: float = setting(2.5, unit="perplexity", low=1.0, search=(1.5, 25.0), log=True)
    divide: str = setting("kept", unit="tokens", choices=("kept", "all"))
    on: str = setting("new", unit="tokens", choices=("new", "memory", "all"), role="tokens")

    reads: ClassVar[frozenset[str]] = frozenset({"token_N"})
    once: ClassVar[str] = "the lower threshold decides; give LowPerplexity() once."
    quick: ClassVar[Mapping[str, Any]] = {"threshold": 60.0}

    def init_state(self, run: Run) -> State:
        """Returns the weight of every token.

        Raises:
            HoldfastError: Nothing is left to learn.
        """
        scores = run.score("nll_N", "source_N")
        on_N, kept_N = is_on(scores["source_N"], self.on), low_perplexity(scores["nll_N"], self.threshold)
        tokens, kept = int(on_N.sum()), int((kept_N & on_N).sum())
        if tokens and not kept:
            least = float(scores["nll_N"][on_N].min())
            raise HoldfastError(
                f"{self!r} leaves nothing to learn: the least perplexity among the {tokens} tokens is"
                f" {math.exp(min(least, 700.0)):.4g}; raise the threshold above it."
            )
        return {"weight": kept_N.float() * (tokens / kept if kept and self.divide == "kept" else 1.0)}

    def weigh_tokens(self, state: State, tok: Tokens) -> Tensor:
        """Returns 0 for tokens that are left out, and for the others the weight that makes the loss their mean."""
        return tok.kept(state["weight"], tok.token_N).to(tok.nll_N.dtype)
