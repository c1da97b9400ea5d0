"""A method for the tests that acts at every hook of the loop, so that each hook's place can be checked."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch

from holdfast.core.method import Method


@dataclasses.dataclass(frozen=True, repr=False)
class Acting(Method):
    """Weighs, adds, penalises, edits gradients and updates, scales the rate, and counts."""

    means: ClassVar[frozenset[str]] = frozenset({"nll_N", "entropy_N", "base_nll_N"})

    def group_params(self, params):
        return {name: 0.5 for name in params if "layers.0" in name}

    def init_state(self, run):
        return {"seen": torch.zeros((), dtype=torch.float64)}

    def weigh_tokens(self, state, tok):
        return torch.exp(-tok.nll_N)

    def token_loss(self, state, tok):
        return 0.1 * (tok.nll_N - tok.base_nll_N) ** 2

    def penalty(self, state, step):
        return 0.01 * sum((p**2).sum() for p in step.params.values())

    def edit_grads(self, state, step):
        for p in step.params.values():
            p.grad.mul_(0.7)

    def scale_lr(self, state, step):
        return 1.0 / (1.0 + step.means["nll_N"] + 0.1 * step.means["entropy_N"] + 0.01 * step.index)

    def edit_update(self, state, step, name, before, after):
        return 0.25 * before + 0.75 * after

    def after_step(self, state, step):
        state["seen"] = state["seen"] + sum(p.grad.double().pow(2).sum() for p in step.params.values()).sqrt()
