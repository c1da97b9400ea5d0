"""LowPerplexity: tokens that surprised the base are read, but not learned."""

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
    """Returns a bool `[N]`: the tokens whose perplexity, e to the base's loss, is at most `threshold`."""
    return base_nll_N <= math.log(threshold)


@dataclasses.dataclass(frozen=True, repr=False)
class LowPerplexity(Method):
    """Leaves the tokens that surprised the base out of the loss, once and for all before training.

        L = (1/|K|) sum_{t in K} -log p_t,   K = {t : exp(-log p0_t) <= threshold}

    p0_t is the probability of the target under the base, p_t under the model. At 2.5 what the base gave less than 0.4
    is not learned, about a quarter of what people write; it stays in the context of what follows. Such tokens pull the
    weights furthest from the base.

    Args:
        threshold: The largest perplexity that is learned (the paper's tau); 1 is the least there can be.
        divide: By which count the loss is divided: "kept", the tokens that are learned, as published, or "all", with
            which steps are smaller.
        on: Which tokens are sifted: the new ones, the memory's, or all; the others count in full.

    Reference:
        Wu et al., Mitigating Forgetting in LLM Fine-Tuning via Low-Perplexity Token Learning, 2025, arXiv 2501.14315,
        Selective Token Masking (STM).

    Confidence:
        text: The paper and the authors' code were read.

    Cost:
        One forward over the data beforehand. Then a look-up.

    Departs:
        |K| is the share of tokens kept in the whole data times those of the step: the published code trains one row at
        a time and divides by what that row keeps, so that a row with few such tokens counts as much as one with many.
        The base is the model as training finds it, adapters included. What the base does not know is what is left out:
        new facts are learned badly. The paper knows no memory.
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
        found = run.score("nll_N", "source_N")
        on_N, kept_N = is_on(found["source_N"], self.on), low_perplexity(found["nll_N"], self.threshold)
        tokens, kept = int(on_N.sum()), int((kept_N & on_N).sum())
        if tokens and not kept:
            least = float(found["nll_N"][on_N].min())
            raise HoldfastError(
                f"{self!r} leaves nothing to learn: the least perplexity among the {tokens} tokens is"
                f" {math.exp(min(least, 700.0)):.4g}; raise the threshold above it."
            )
        return {"weight": kept_N.float() * (tokens / kept if kept and self.divide == "kept" else 1.0)}

    def weigh_tokens(self, state: State, tok: Tokens) -> Tensor:
        """Returns 0 for the tokens left out, and for the others what makes the loss a mean over them."""
        return tok.kept(state["weight"], tok.token_N).to(tok.nll_N.dtype)
