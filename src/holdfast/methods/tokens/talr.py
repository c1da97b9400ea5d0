"""TALR: each token counts by the probability that the model gives it, on a scale that follows the loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.core.method import Method, State
from holdfast.core.run import Run, Step
from holdfast.core.settings import setting
from holdfast.core.tokens import Tokens, is_on
from holdfast.methods.samples import median, sample_means
from holdfast.methods.tokens.flow import flow


def talr(nll_N: Tensor, temperature: float, floor: float = 0.01) -> Tensor:
    """Returns `max(p^(1 / temperature), floor)`, `[N]`, from each target's negative log-likelihood; no gradient flows.

    Args:
        nll_N: -log p, in nats.
        temperature: The paper's tau, in nats.
        floor: The least weight.
    """
    return flow(nll_N, temperature).clamp(min=floor)


@dataclasses.dataclass(frozen=True, repr=False)
class TALR(Method):
    """Weighs tokens by probability, milder at high loss.

    Multiplies the loss of each token by a power of its probability that grows milder where the loss is high.

        L = -(1/N) sum_t sg[w_t] log p_t,   w_t = max(p_t^(1/tau), floor),   tau = median of the former step's losses

    p_t is the probability of the target under the current model. At first nearly all tokens count in full; tau falls
    with the losses, and tokens that are still hard count less and less.

    Args:
        floor: The smallest weight; 1 is plain training.
        over: The losses whose median is tau: "samples", the mean loss of each example, or "tokens".
        on: The weighed tokens: "new", "memory" (those of old examples), or "all"; the others count in full.

    Reference:
        Lin et al., SFT Doesn't Always Hurt General Capabilities: Revisiting Domain-Specific Fine-Tuning in LLMs, 2025,
        arXiv 2509.20758, its Token-Adaptive Loss Reweighting.

    Confidence:
        code: We read a later paper's code (DiSC, arXiv 2602.16093) and two notes on the paper. No authors' code is
        published, only the later code gives a value of the floor, and the notes differ on `over`.

    Cost:
        One forward over the data before training. It gives the first tau; later steps cost nothing.

    Departs:
        tau comes from the previous step, over all micro-batches and processes; the first tau comes from the base over
        the data. The sources use the batch's own tau, which is not known before its last micro-batch. Only new tokens
        count for tau, and a step without new tokens does not change it. As in the code that we read, the weights are
        not normalised, so steps are smaller (Adam undoes a common factor). The paper's first advice is a small learning
        rate, at which plain training does about as well. In the table of arXiv 2601.02151 TALR forgets no less than
        plain training.
    """

    floor: float = setting(0.01, unit="1", low=0.0, high=1.0, search=(0.001, 0.3), log=True)
    over: str = setting("samples", unit="losses", choices=("samples", "tokens"))
    on: str = setting("new", unit="tokens", choices=("new", "memory", "all"), role="tokens")

    sees: ClassVar[frozenset[str]] = frozenset({"nll_N", "document_nll"})
    once: ClassVar[str] = "two of them would multiply; give TALR() once."
    excludes: ClassVar[Mapping[str, str]] = {
        "DFT": "TALR weighs by the probability too, on a scale that follows the loss; give one of the two.",
    }

    @property
    def off(self) -> bool:
        """Whether every token counts in full."""
        return self.floor == 1.0

    def init_state(self, run: Run) -> State:
        """Returns the first tau: the median of the base's losses on the new examples."""
        scores = run.score("nll_N", "document_N", "source_N")
        new_N = is_on(scores["source_N"], "new")
        losses = scores["nll_N"][new_N]
        if self.over == "samples":
            losses, _ = sample_means(losses, scores["document_N"][new_N])
        return {"temperature": torch.tensor(median(losses), dtype=torch.float64)}

    def weigh_tokens(self, state: State, tok: Tokens) -> Tensor:
        """Returns `talr` at the temperature from the previous step."""
        return talr(tok.nll_N, float(state["temperature"]), self.floor)

    def after_step(self, state: State, step: Step) -> None:
        """Stores the median of this step's losses for the next step."""
        temperature = median(step.values["document_nll" if self.over == "samples" else "nll_N"].cpu())
        if temperature == temperature:
            state["temperature"] = torch.tensor(temperature, dtype=torch.float64)
