"""KL to the base: keep the model close to the base's whole next-token distribution."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.core.method import Method, State
from holdfast.core.needs import Needs
from holdfast.core.positions import per_position
from holdfast.core.settings import setting
from holdfast.core.softmax import forward_kl, reverse_kl
from holdfast.core.tokens import Tokens


def base_kl_units(logits_NV: Tensor, base_logits_NV: Tensor, direction: str = "forward") -> Tensor:
    """Returns the divergence between base and tuned next-token distributions.

    Args:
        logits_NV: Logits of the model being trained, float32 or wider; gradients flow.
        base_logits_NV: Logits of the frozen base; detached here.
        direction: "forward" for KL(base || tuned), "reverse" for KL(tuned || base).

    Returns:
        `[N]` nats, >= 0 up to rounding. A logit of minus infinity on both sides adds 0; on only one side, the tuned
        model's in "forward" or the base's in "reverse", it makes the divergence infinite.
    """
    base_logits_NV = base_logits_NV.detach().to(logits_NV.dtype)
    return (forward_kl if direction == "forward" else reverse_kl)(logits_NV, base_logits_NV)


def base_kl(logits_BTV: Tensor, base_logits_BTV: Tensor, labels_BT: Tensor, direction: str = "forward") -> Tensor:
    """Returns the KL to the base at each supervised position, to be summed and divided by the trained tokens.

    Args:
        logits_BTV: Logits of the model being trained, any float dtype; gradients flow.
        base_logits_BTV: Logits of the frozen base on the same inputs.
        labels_BT: Token ids, int64, unshifted; -100 marks an unsupervised position. Used only to select positions.
        direction: "forward" for KL(base || tuned), "reverse" for KL(tuned || base).

    Returns:
        `[B, T]` nats; `out[b, t]` belongs to `labels[b, t + 1]`, 0 where nothing is supervised and in the last column.
    """
    return per_position(
        lambda logits, base, _labels: base_kl_units(logits, base, direction), logits_BTV, base_logits_BTV, labels_BT
    )


@dataclasses.dataclass(frozen=True, repr=False)
class BaseKL(Method):
    """Adds the KL divergence from the base.

    Adds the divergence between the model's next-token distribution and the base's.

        L = L_CE + strength * (1/|M|) sum_{t in M} KL(p_b || p_a)     (forward; reverse swaps the two)

    p_b is the prediction of the frozen base, p_a that of the model, and M the set of supervised positions.

    Args:
        strength: Coefficient of the term (beta; lambda in the LwF baseline of 2605.29498).
        direction: "forward" = KL(base || tuned), which covers every token that the base finds likely; "reverse" =
            KL(tuned || base).
        on: The tokens with this term: "new", "memory" (those of old examples), or "all".
        task_loss: "kept" adds the term to the task loss of those tokens; "dropped" replaces it. On old examples the
            base is then the only teacher, and the model does not learn the text itself (arXiv 2605.26097).

    Reference:
        Li and Hoiem, Learning without Forgetting, 2016, arXiv 1606.09282 (distillation from the model before); the
        forward form on the new task's tokens as in Xu et al. 2026, arXiv 2605.29498, LwF baseline.

    Confidence:
        text: The loss is simple; the constants in the sources differ by a factor of a thousand.

    Cost:
        One forward of the base. Once for each row if rows come again (`Train(base_cache=)`). Also a copy of the base's
        weights in full training.

    Departs:
        There is no temperature (LwF softens with T = 2). The sum is divided by all supervised tokens of the step.
    """

    strength: float = setting(1.0, unit="1", low=0.0, search=(1e-3, 10.0), log=True, role="strength")
    direction: str = setting("forward", unit="direction", choices=("forward", "reverse"))
    on: str = setting("all", unit="tokens", choices=("new", "memory", "all"), role="tokens")
    task_loss: str = setting("kept", unit="task loss", choices=("kept", "dropped"))

    reads: ClassVar[frozenset[str]] = frozenset({"base_logits_NV", "base_kl_N"})

    @property
    def needs(self) -> Needs:
        """The divergence in the forward direction, which does not need the base's logits; the logits in the other."""
        return Needs(frozenset({"base_kl_N" if self.direction == "forward" else "base_logits_NV"}))

    @property
    def off(self) -> bool:
        """Whether the method adds no term and drops no task loss."""
        return self.strength == 0.0 and self.task_loss == "kept"

    def weigh_tokens(self, state: State, tok: Tokens) -> Tensor:
        """Returns 1, or 0 where the task loss is dropped."""
        return torch.full_like(tok.nll_N, float(self.task_loss == "kept"))

    def token_loss(self, state: State, tok: Tokens) -> Tensor:
        """Returns `strength * base_kl_units`."""
        if self.direction == "forward":
            return self.strength * tok.base_kl_N
        return self.strength * base_kl_units(tok.logits_NV, tok.base_logits_NV, self.direction)
