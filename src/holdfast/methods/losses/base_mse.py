"""MSE to the base: keep the model's outputs close to those of the base, in size too."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.core.method import Method, State
from holdfast.core.positions import per_position
from holdfast.core.settings import setting
from holdfast.core.tokens import Tokens


def base_mse_units(logits_NV: Tensor, base_logits_NV: Tensor) -> Tensor:
    """Returns the mean squared difference between the outputs of the model and of the base.

    Args:
        logits_NV: Logits of the model being trained, float32 or wider; gradients flow.
        base_logits_NV: Logits of the frozen base; detached here.

    Returns:
        `[N]`, in squares of a logit. The mean is over the entries that are finite on both sides; an impossible token,
        or a document that a shorter list does not have, adds nothing.
    """
    base_logits_NV = base_logits_NV.detach().to(logits_NV.dtype)
    finite_NV = logits_NV.detach().isfinite() & base_logits_NV.isfinite()
    zeros_NV = torch.zeros_like(base_logits_NV)
    # Both sides of the difference are replaced, so that no gradient of an infinite logit is computed.
    gap_NV = torch.where(finite_NV, logits_NV, zeros_NV) - torch.where(finite_NV, base_logits_NV, zeros_NV)
    return gap_NV.square().sum(-1) / finite_NV.sum(-1).clamp(min=1)


def base_mse(logits_BTV: Tensor, base_logits_BTV: Tensor, labels_BT: Tensor) -> Tensor:
    """Returns the mean squared difference from the base's logits at each supervised position.

    Args:
        logits_BTV: Logits of the model being trained, any float dtype; gradients flow.
        base_logits_BTV: Logits of the frozen base on the same inputs.
        labels_BT: Token ids, int64, unshifted; -100 marks an unsupervised position. Used only to select positions.

    Returns:
        `[B, T]`; `out[b, t]` belongs to `labels[b, t + 1]`, 0 where nothing is supervised and in the last column.
    """
    return per_position(
        lambda logits, base, _labels: base_mse_units(logits, base), logits_BTV, base_logits_BTV, labels_BT
    )


@dataclasses.dataclass(frozen=True, repr=False)
class BaseMSE(Method):
    """Adds the mean squared error to the base's logits.

        L = L_CE + strength * (1/|M|) sum_{t in M} (1/V) sum_c (z_a(c) - z_b(c))^2

    z_b are the logits of the frozen base, z_a those of the model, V their number, and M the set of supervised
    positions. A divergence between predictions ignores a constant that is added to all logits; this term does not. On a
    reranker the logits are the scores of a query's documents: the term keeps their scale, and with it thresholds.

    Args:
        strength: Coefficient of the term (alpha in the paper), per square of a logit.
        on: The tokens with this term: "new", "memory" (those of old examples), or "all".

    Reference:
        Buzzega, Boschini, Porrello, Abati, Calderara, Dark Experience for General Continual Learning: a Strong, Simple
        Baseline, 2020, arXiv 2004.07211, eq. 5; for rerankers, distillation of scores.

    Confidence:
        note: The formula is simple; no source says which strength suits a language model or a reranker.

    Cost:
        One forward of the base. Also a copy of its weights in full training.

    Departs:
        The paper compares with logits that it stored while it trained, on old examples alone. Here the logits are those
        of the frozen base, by default on all supervised tokens (on="memory" restricts it to old examples), and the
        square is divided by V.
    """

    strength: float = setting(0.1, unit="1", low=0.0, search=(1e-3, 1.0), log=True, role="strength")
    on: str = setting("all", unit="tokens", choices=("new", "memory", "all"), role="tokens")

    reads: ClassVar[frozenset[str]] = frozenset({"base_logits_NV"})

    def token_loss(self, state: State, tok: Tokens) -> Tensor:
        """Returns `strength * base_mse_units`."""
        return self.strength * base_mse_units(tok.outputs(tok.logits_NV), tok.outputs(tok.base_logits_NV))
