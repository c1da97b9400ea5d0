"""EMA: ship a moving average of the weights over training."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.core.method import Method, State
from holdfast.core.params import trainable
from holdfast.core.run import Run, Step
from holdfast.core.settings import setting


def warm_decay(decay: float, steps: int) -> float:
    """Returns the decay after a number of steps: `min(decay, (1 + steps) / (10 + steps))`."""
    return min(decay, (1 + steps) / (10 + steps))


def ema(average: Tensor, weight: Tensor, decay: float) -> Tensor:
    """Returns `decay * average + (1 - decay) * weight` in the dtype of `average`; equal to `weight` where decay is 0.

    Args:
        average: The average so far, in float32 or wider.
        weight: The weight after a step, of the same shape.
        decay: In [0, 1].
    """
    return torch.lerp(average, weight.to(average.dtype), 1.0 - decay)


@dataclasses.dataclass(frozen=True, repr=False)
class EMA(Method):
    """Ships an exponential moving average of the weights.

        m_t = d_t * m_{t-1} + (1 - d_t) * theta_t,   m_0 = theta_0,   d_t = min(decay, t / (9 + t))

    for steps t = 1, 2, ...; m is shipped, and theta trains on unchanged. The average is nearer to the base than the
    last weights and lies in a flatter region. While d_t is still growing, the base quickly loses weight in the average.

    Args:
        decay: Decay of the average after the warm-up; the average spans about 1 / (1 - decay) steps.

    Reference:
        Morales-Brotons, Vogels, Hendrikx, Exponential Moving Average of Weights in Deep Learning: Dynamics and
        Benefits, 2024, arXiv 2411.18704; the idea is Polyak's and Ruppert's.

    Confidence:
        memory: The formula is simple; the warm-up of the decay is that of common implementations.

    Cost:
        A copy of the weights. It holds the trained weights in float32; each step makes one pass over it.

    Departs:
        The default spans 100 steps, because fine-tuning is short; in pretraining 0.999 and more are usual. At the start
        the decay is (1 + t) / (10 + t) after t steps, so the base loses its weight soon; use WiSEFT for a result nearer
        to the base. On an adapter, A and B are averaged separately, which is not the average of their product. EMA
        comes before all other edits of weights, and a resumed run continues from the trained weights, not from the
        average.
    """

    decay: float = setting(0.99, unit="per step", low=0.0, high=0.99999, search=(0.9, 0.999))

    averages: ClassVar[bool] = True
    on_parameters: ClassVar[bool] = True
    state_per_parameter: ClassVar[int] = 1
    once: ClassVar[str] = "only the last average would be shipped; give one EMA()."

    @property
    def off(self) -> bool:
        """Whether the last weights are shipped unchanged."""
        return self.decay == 0.0

    def init_state(self, run: Run) -> State:
        """Returns the initial average: the current weights, in float32 or wider."""
        return {
            "average": {
                name: p.detach().to(torch.promote_types(p.dtype, torch.float32), copy=True)
                for name, p in trainable(run.model).items()
            }
        }

    @torch.no_grad()
    def after_step(self, state: State, step: Step) -> None:
        """Moves the average towards the weights."""
        averages, decay = state["average"], warm_decay(self.decay, step.index)
        for name, p in step.params.items():
            averages[name] = ema(averages[name].to(p.device), p.detach(), decay)

    def edit_weights(self, state: State, name: str, base: Tensor, tuned: Tensor) -> Tensor:
        """Returns the average; the last weight is not used."""
        average: Tensor = state["average"][name]
        return average.to(tuned.device, tuned.dtype, copy=True)
