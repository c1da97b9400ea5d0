"""DFT: each token counts in proportion to the probability that the model gives it."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from holdfast.core.method import Method, State
from holdfast.core.settings import setting
from holdfast.core.tokens import Tokens


def dft(nll_N: Tensor) -> Tensor:
    """Returns the probability of each target, `[N]`, from its negative log-likelihood in nats; no gradient flows."""
    return (-nll_N.detach()).exp()


@dataclasses.dataclass(frozen=True, repr=False)
class DFT(Method):
    """Weighs each token by its probability.

    Multiplies the loss of each token by the probability that the model gives it.

        L = -(1/N) sum_t sg[p_t] log p_t

    p_t is the probability of the target, and sg stops the gradient. The gradient of the loss is therefore that of -p_t:
    the model hardly learns tokens that it considers impossible.

    Args:
        on: The weighed tokens: "new", "memory" (those of old examples), or "all"; the others count in full.

    Reference:
        Wu et al., On the Generalization of SFT: A Reinforcement Learning Perspective with Reward Rectification, 2025,
        arXiv 2508.05629 (the loss is the one in TRL, loss_type="dft").

    Confidence:
        code: The loss is that of TRL and LLaMA-Factory.

    Cost:
        Nothing.

    Departs:
        The loss is that of the paper. The paper has no rehearsal; here rehearsed tokens count in full unless `on`
        includes them. DFT was published for better answers, not against forgetting: in the table of arXiv 2601.02151 it
        forgets no less than plain training, and more for two of three models.
    """

    on: str = setting("new", unit="tokens", choices=("new", "memory", "all"), role="tokens")

    once: ClassVar[str] = "two of them would weigh by the square of the probability; give DFT() once."

    def weigh_tokens(self, state: State, tok: Tokens) -> Tensor:
        """Returns `dft`."""
        return dft(tok.nll_N)
