"""MoFO: in each tensor, update only the entries with the largest momentum."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from holdfast.core.method import Method, State
from holdfast.core.params import trainable
from holdfast.core.run import Run, Step
from holdfast.core.settings import setting
from holdfast.core.top_entries import largest


def mofo(before: Tensor, after: Tensor, momentum: Tensor, keep: float) -> Tensor:
    """Returns the updated weight where |momentum| is among the `ceil(entries * keep)` largest, else the old weight.

    Args:
        before: The weight before the optimizer's step.
        after: The weight after it.
        momentum: Moving average of the gradient, of the same shape.
        keep: Share of the entries that move, in (0, 1].
    """
    count = -int(-before.numel() * keep // 1)
    return torch.where(largest(momentum.abs(), count), after, before)


@dataclasses.dataclass(frozen=True, repr=False)
class MoFO(Method):
    """Updates only the entries of largest momentum.

    Updates, at every step, only the entries with the largest momentum in each tensor.

        m_t = decay * m_{t-1} + (1 - decay) * g_t
        theta_t = theta_{t-1} + [|m_t| among the top k of its tensor] * update_t,   k = ceil(entries * keep)

    g_t is the clipped gradient, and update_t the optimizer's update. The selected entries change from step to step. The
    weights stay nearer to the base than if all entries moved.

    Args:
        keep: Share of the entries of each tensor that move (the paper's alpha).
        decay: Decay of the momentum, the optimizer's beta_1.

    Reference:
        Chen et al., MoFO: Momentum-Filtered Optimizer for Mitigating Forgetting in LLM Fine-Tuning, 2024, arXiv
        2407.20999, algorithm 1.

    Confidence:
        code: We read the authors' code.

    Cost:
        A top-k of every tensor. Also one float for each weight.

    Departs:
        The method filters the step of any optimizer, weight decay included, so the bits of an unselected entry do not
        change. It keeps its own momentum, one more float for each weight (the same numbers as Adam's with beta_1 =
        decay, but in float32 for bfloat16 weights). The authors' code does not filter norms and biases; here, as in the
        paper, every tensor is filtered. The authors' code recommends 5-20% and uses 15% in most of its scripts; other
        versions default to 3% or 20%. On an adapter the method filters A and B.
    """

    keep: float = setting(0.15, unit="share of entries", low=0.0, high=1.0, search=(0.05, 0.2))
    decay: float = setting(0.9, unit="1", low=0.0, high=0.9999, search=(0.8, 0.99))

    @property
    def off(self) -> bool:
        """Whether every entry moves."""
        return self.keep == 1.0

    def init_state(self, run: Run) -> State:
        """Returns the momentum: zero, in float32 or wider."""
        return {
            "momentum": {
                name: torch.zeros_like(p, dtype=torch.promote_types(p.dtype, torch.float32), requires_grad=False)
                for name, p in trainable(run.model).items()
            }
        }

    def edit_update(self, state: State, step: Step, name: str, before: Tensor, after: Tensor) -> Tensor:
        """Updates the momentum with the step's gradient, and keeps the update of its largest entries."""
        grad = step.params[name].grad
        if grad is None:  # another method froze this tensor, and the optimizer left its own momentum alone too
            return after
        held = state["momentum"][name].to(grad.device)
        momentum = state["momentum"][name] = torch.lerp(held, grad.to(held.dtype), 1.0 - self.decay)
        return mofo(before, after, momentum, self.keep)
