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
    """Returns the updated weight where |momentum| is among the `ceil(entries * keep)` largest, the former elsewhere.

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
    """Updates, at every step and in every tensor, only the entries whose momentum is largest.

        m_t = decay * m_{t-1} + (1 - decay) * g_t
        theta_t = theta_{t-1} + [|m_t| among the top k of its tensor] * update_t,   k = ceil(entries * keep)

    g_t is the clipped gradient, update_t what the optimizer would do. The entries change from step to step; the weights
    stay nearer to the base than with all of them moving.

    Args:
        keep: Share of the entries of each tensor that move (the paper's alpha).
        decay: Of the momentum, the optimizer's beta_1.

    Reference:
        Chen et al., MoFO: Momentum-Filtered Optimizer for Mitigating Forgetting in LLM Fine-Tuning, 2024, arXiv
        2407.20999, algorithm 1.

    Confidence:
        code: The authors' code was read.

    Cost:
        A top-k of every tensor. And one float for each weight.

    Departs:
        Acts on the step of whatever optimizer is used, weight decay included, so an entry that is not chosen keeps its
        bits; the momentum is kept beside the optimizer's own (the same numbers with Adam's beta_1 = decay, but in
        float32 beside bfloat16 weights), a float more for each weight. The authors' code filters neither norms nor
        biases; here, as in the paper, every tensor is. It advises 5-20% and takes 15% in most of its scripts; other
        versions have 3% or 20% as default. On an adapter it filters A and B.
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
        """Moves the momentum by the step's gradient, and keeps the update of its largest entries."""
        grad = step.params[name].grad
        if grad is None:  # somebody lets this tensor stand still, and the optimizer left its own momentum alone too
            return after
        held = state["momentum"][name].to(grad.device)
        momentum = state["momentum"][name] = torch.lerp(held, grad.to(held.dtype), 1.0 - self.decay)
        return mofo(before, after, momentum, self.keep)
