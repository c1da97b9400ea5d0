"""FLOW: examples that the base already knows well count more."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from holdfast.core.method import Method, State
from holdfast.core.run import Run
from holdfast.core.settings import setting
from holdfast.core.tokens import Tokens, is_on
from holdfast.methods.samples import median, sample_means

LEAST = 1e-6
"""The smallest temperature, in nats: the median loss is 0 on data that the base knows by heart."""


def flow(loss_N: Tensor, temperature: float) -> Tensor:
    """Returns `exp(-loss / temperature)`, `[N]`; 0 where the loss is NaN; no gradient flows."""
    return (-loss_N.detach() / max(temperature, LEAST)).exp().nan_to_num(nan=0.0)


@dataclasses.dataclass(frozen=True, repr=False)
class FLOW(Method):
    """Weighs each example by how well the base knows it.

    Multiplies the loss of each example by a weight for how well the base knows it, computed once before training.

        L = (1/N) sum_i w_i sum_t -log p(y_it),   w_i = exp(-l_i / tau),   tau = median_i l_i

    l_i is the base's mean loss on the answer of example i, and N the number of all tokens. Examples that are hard for
    the base would move the weights most, so they count least.

    Args:
        level: "sample" weighs examples, as published; "token" weighs each token by its own loss, with the median over
            all tokens (the authors' second mode).
        temperature: tau in nats; the median over the data if absent.
        on: The weighed tokens: "new", "memory" (those of old examples), or "all"; the others count in full, and the
            median does not include them.

    Reference:
        Sanyal et al., Upweighting Easy Samples in Fine-Tuning Mitigates Forgetting, 2025, arXiv 2502.02797,
        algorithm 1.

    Confidence:
        text: We read the paper and the authors' code.

    Cost:
        One forward over the data before training. Then a look-up per token.

    Departs:
        The weights are those of the paper. As in the authors' code they are not normalised: the median example counts
        e^-1 = 0.37, and steps are smaller (Adam undoes a common factor). The base is the model at the start of
        training, adapters included. A document that occurs twice counts once in the median. The paper has no rehearsal.
    """

    level: str = setting("sample", unit="weighed part", choices=("sample", "token"))
    temperature: float | None = setting(None, unit="nats", low=1e-6, search=(0.05, 2.0), log=True)
    on: str = setting("new", unit="tokens", choices=("new", "memory", "all"), role="tokens")

    reads: ClassVar[frozenset[str]] = frozenset({"token_N"})
    once: ClassVar[str] = "two of them would multiply; lower temperature instead."

    def init_state(self, run: Run) -> State:
        """Returns the weight of every token."""
        scores = run.score("nll_N", "document_N", "source_N")
        loss_N, on_N = scores["nll_N"].double(), is_on(scores["source_N"], self.on)
        losses = loss_N[on_N]
        if self.level == "sample":
            means_D, place_N = sample_means(loss_N, scores["document_N"])
            loss_N, losses = means_D[place_N], means_D[place_N[on_N].unique()]
        temperature = median(losses) if self.temperature is None else self.temperature
        return {"weight": flow(loss_N, temperature).float()}

    def weigh_tokens(self, state: State, tok: Tokens) -> Tensor:
        """Returns the weight that `flow` gave each token, or its example, before training."""
        return tok.kept(state["weight"], tok.token_N).to(tok.nll_N.dtype)
