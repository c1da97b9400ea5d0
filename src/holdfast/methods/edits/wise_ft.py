"""WiSE-FT: ship a point on the line from the base to the tuned weights."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from holdfast.core.blocks import lerp
from holdfast.core.method import Method, State
from holdfast.core.settings import setting


def wise_ft(base: Tensor, tuned: Tensor, alpha: float) -> Tensor:
    """Returns `(1 - alpha) * base + alpha * tuned`: bit-equal to `base` at 0 and to `tuned` at 1, even if not finite.

    Args:
        base: Weights of the base.
        tuned: Weights after training, of the same shape.
        alpha: Position on the line, in [0, 1].

    Returns:
        A weight in the dtype of `tuned`.
    """
    return lerp(base, tuned, alpha)


@dataclasses.dataclass(frozen=True, repr=False)
class WiSEFT(Method):
    """Ships weights between the base and the tuned model.

        theta = (1 - alpha) * theta_0 + alpha * theta_1

    theta_0 is the base, theta_1 the tuned model. The method costs no training time; 0 ships the base, 1 the tuned
    model.

    Args:
        alpha: Share of the way from the base to the tuned weights.

    Reference:
        Wortsman et al., Robust fine-tuning of zero-shot models, 2021, arXiv 2109.01903, eq. 1.

    Confidence:
        text: We read the equation; the recommended alpha is from memory.

    Cost:
        One pass after training. Also a copy of the trained weights during training.

    Departs:
        The paper is about CLIP; it reports alpha = 0, 0.1, ..., 1 and suggests 0.5 if nothing is known (from memory).
        For language models the method is unreliable: even a weak mix of two checkpoints often loses the skills of both
        (arXiv 2510.17776).

    """

    alpha: float = setting(0.5, unit="share of the change", low=0.0, high=1.0, search=(0.1, 0.9))

    @property
    def off(self) -> bool:
        """Whether the tuned weights are shipped unchanged."""
        return self.alpha == 1.0

    def edit_weights(self, state: State, name: str, base: Tensor, tuned: Tensor) -> Tensor:
        """Returns the point on the line."""
        return wise_ft(base, tuned, self.alpha)
