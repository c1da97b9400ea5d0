"""ASFT: DFT, anchored to the base by a divergence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from holdfast.core.method import Method, State
from holdfast.core.settings import setting
from holdfast.core.tokens import Tokens
from holdfast.methods.losses.base_kl import base_kl_units
from holdfast.methods.tokens.dft import dft


@dataclasses.dataclass(frozen=True, repr=False)
class ASFT(Method):
    """Weighs tokens as DFT, and adds a KL to the base.

    Weighs each token by its probability and adds the divergence from the base.

        L = -(1/N) sum_t sg[p_t] log p_t + anchor * (1/N) sum_t KL(p_b || p_a)     (forward; reverse swaps the two)

    p_t is the probability of the target, p_b the prediction of the frozen base, and p_a that of the model. ASFT is
    DFT() + BaseKL() under the paper's name and with its constant.

    Args:
        anchor: Coefficient of the divergence (lambda): 0.05 in the paper, 0.1 in the published code, 0.03 recommended
            for bfloat16. At 0 the method is DFT, not plain training.
        direction: "forward" = KL(base || tuned), as published; "reverse" = KL(tuned || base), which collapses according
            to the paper.
        on: The weighed and anchored tokens: "new", "memory" (those of old examples), or "all"; the others count in
            full.

    Reference:
        Zhu et al., Anchored Supervised Fine-Tuning, 2025, arXiv 2509.23753; direction as in LLaMA-Factory's
        implementation.

    Confidence:
        code: Two implementations agree on the loss but not on its constant; we read a note on the paper.

    Cost:
        One forward of the base. Also a copy of its weights in full training.

    Departs:
        The base is the model before training; if training continues from an adapter, `Train(reference="start")` anchors
        to the adapter's start. The paper has no rehearsal; here rehearsed tokens count in full unless `on` includes
        them. We read the formula in the code and in a note on the paper, not in the paper itself.
    """

    anchor: float = setting(0.05, unit="1", low=0.0, search=(0.01, 1.0), log=True)
    direction: str = setting("forward", unit="direction", choices=("forward", "reverse"))
    on: str = setting("new", unit="tokens", choices=("new", "memory", "all"), role="tokens")

    reads: ClassVar[frozenset[str]] = frozenset({"base_logits_NV"})
    once: ClassVar[str] = "two of them would weigh by the square of the probability; give ASFT() once."
    excludes: ClassVar[Mapping[str, str]] = {
        "DFT": "ASFT weighs as DFT does; give one of the two.",
    }

    def weigh_tokens(self, state: State, tok: Tokens) -> Tensor:
        """Returns `dft`."""
        return dft(tok.nll_N)

    def token_loss(self, state: State, tok: Tokens) -> Tensor:
        """Returns `anchor * base_kl_units`."""
        return self.anchor * base_kl_units(tok.logits_NV, tok.base_logits_NV, self.direction)
