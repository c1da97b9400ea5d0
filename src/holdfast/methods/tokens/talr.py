"""TALR: each token is learned by how likely the model holds it, on a scale that follows the loss."""

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
    """Returns `max(p^(1 / temperature), floor)`, `[N]`, given each target's negative log-likelihood; no gradient.

    Args:
        nll_N: -log p, nats.
        temperature: The paper's tau, nats.
        floor: The least weight.
    """
    return flow(nll_N, temperature).clamp(min=floor)


@dataclasses.dataclass(frozen=True, repr=False)
class TALR(Method):
    """Multiplies the loss of each token by a power of its probability that grows milder where the loss is high.

        L = -(1/N) sum_t sg[w_t] log p_t,   w_t = max(p_t^(1/tau), floor),   tau = median of the former step's losses

    p_t is the probability of the target under the model as it is. At first nearly all is learned; as the losses fall,
    so does tau, and what is still hard is set aside more strictly.

    Args:
        floor: The least weight; 1 is plain training.
        over: Of what tau is the median: "samples", the mean loss of each example, or "tokens".
        on: Which tokens are weighed: the new ones, the memory's, or all; the others count in full.

    Reference:
        Lin et al., SFT Doesn't Always Hurt General Capabilities: Revisiting Domain-Specific Fine-Tuning in LLMs, 2025,
        arXiv 2509.20758, its Token-Adaptive Loss Reweighting.

    Confidence:
        code: A later paper's code (DiSC, arXiv 2602.16093) and two notes on the paper were read; no authors' code is
        published, the floor's value stands in that code alone, and the notes differ on `over`.

    Cost:
        One forward over the data beforehand. For the first tau; nothing after.

    Departs:
        tau is that of the step before (the sources take the batch's own, which is not known before its last
        micro-batch), over all micro-batches and processes; the first comes from the base over the data. It is always
        taken over new tokens. A step without any leaves it alone. The weights are not normalised, as in the code read,
        so steps are smaller (Adam undoes a common factor). The paper's first advice is a small learning rate: there
        plain training does about as well. In the table of arXiv 2601.02151 TALR forgets no less than plain training.
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
        found = run.score("nll_N", "document_N", "source_N")
        new_N = is_on(found["source_N"], "new")
        losses = found["nll_N"][new_N]
        if self.over == "samples":
            losses, _ = sample_means(losses, found["document_N"][new_N])
        return {"temperature": torch.tensor(median(losses), dtype=torch.float64)}

    def weigh_tokens(self, state: State, tok: Tokens) -> Tensor:
        """Returns `talr` at the temperature that the step before left."""
        return talr(tok.nll_N, float(state["temperature"]), self.floor)

    def after_step(self, state: State, step: Step) -> None:
        """Takes the median of this step's losses for the next one."""
        found = median(step.values["document_nll" if self.over == "samples" else "nll_N"].cpu())
        if found == found:
            state["temperature"] = torch.tensor(found, dtype=torch.float64)
