"""Task vector: ship the base plus a multiple of the change from training."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from holdfast.core.blocks import lerp
from holdfast.core.method import Method, State
from holdfast.core.settings import setting


def task_vector(base: Tensor, tuned: Tensor, scale: float) -> Tensor:
    """Returns `base + scale * (tuned - base)` in the dtype of `tuned`.

    Args:
        base: Weights of the base.
        tuned: Weights after training, of the same shape.
        scale: Factor on the change; below 0 it subtracts the change, above 1 it extrapolates.
    """
    return lerp(base, tuned, scale)


@dataclasses.dataclass(frozen=True, repr=False)
class TaskVector(Method):
    """Ships a multiple of the change by training.

    The change is called the task vector.

        theta = theta_0 + scale * tau,   tau = theta_1 - theta_0

    A scale between 0 and 1 gives WiSEFT, a scale below 0 unlearns the task, and a scale above 1 exaggerates it.

    Args:
        scale: Factor on the task vector (the paper's lambda).

    Reference:
        Ilharco et al., Editing Models with Task Arithmetic, 2022, arXiv 2212.04089, section 2.

    Confidence:
        text: The formula is simple.

    Cost:
        One pass after training. Also a copy of the trained weights during training.

    Departs:
        There is one task vector, that of this run; the paper also adds several. The paper chooses lambda on held-out
        data; the default of 0.5 is ours.
    """

    scale: float = setting(0.5, unit="factor on the change", low=-2.0, high=3.0, search=(0.1, 1.2))

    @property
    def off(self) -> bool:
        """Whether the tuned weights are shipped unchanged."""
        return self.scale == 1.0

    def edit_weights(self, state: State, name: str, base: Tensor, tuned: Tensor) -> Tensor:
        """Returns the base plus the scaled task vector."""
        return task_vector(base, tuned, self.scale)
