"""Conflict decay: moves weights back towards the base if they cause the model to contradict it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from holdfast.core.batches import collate
from holdfast.core.method import Method, State
from holdfast.core.needs import Ask
from holdfast.core.rows import drawn, to_examples, to_tensors
from holdfast.core.run import Run, Step
from holdfast.core.settings import setting
from holdfast.core.softmax import forward_kl
from holdfast.core.tokens import Tokens
from holdfast.core.top_entries import largest
from holdfast.methods.memory import new_examples, old_examples


def contradiction(logits_NV: Tensor, base_logits_NV: Tensor, labels_N: Tensor, *, spare_target: bool) -> Tensor:
    """Returns how much two models contradict each other, `[N]`, in nats; 0 where their likeliest tokens agree.

    Args:
        logits_NV: Of the tuned model; gradients flow.
        base_logits_NV: Of the base.
        labels_N: Target ids.
        spare_target: Whether to remove the target from both predictions first, because learning it is no contradiction.
    """
    first_N, base_first_N = (
        (of.scatter(-1, labels_N[:, None], -torch.inf) if spare_target else of).argmax(-1)
        for of in (logits_NV.detach(), base_logits_NV.detach())
    )
    kl_N = forward_kl(logits_NV, base_logits_NV, labels_N if spare_target else None)
    return torch.where(first_N != base_first_N, kl_N, torch.zeros_like(kl_N))


def conflict_decay(weight: Tensor, start: Tensor, grad: Tensor, share: float, decay: float) -> Tensor:
    """Returns a weight after moving the entries that carry most of a loss towards the start.

    An entry carries grad * (weight - start): the first-order fall of the loss if the entry went back.

    Args:
        weight: The current weight.
        start: The weight before training, of the same shape.
        grad: Gradient of the loss with respect to the weight.
        share: Share of the entries that may move; only entries with a positive contribution move.
        decay: Share of its distance from the start by which an entry moves back.
    """
    moved = weight - start
    carried = grad * moved
    carried = torch.where(carried > 0, carried, -torch.inf)
    chosen = largest(carried, -int(-carried.numel() * share // 1))
    return torch.where(chosen, weight - decay * moved, weight)


@dataclasses.dataclass(frozen=True, repr=False)
class ConflictDecay(Method):
    """Moves weights back where they contradict the base.

    Moves weights that make the model contradict the base back towards the base, every few steps.

        c_t = [argmax p_a != argmax p_b] KL(p_b || p_a),   over tokens t of a batch of old (or new) examples
        s_i = (d mean(c) / d theta_i) * (theta_i - theta_i^0)
        theta_i <- theta_i - decay * (theta_i - theta_i^0)   for the `share` of each tensor with the largest s_i > 0

    p_b is the base's prediction, p_a the model's. Weight decay towards the base pulls every weight; this method pulls
    only weights that cause a contradiction, and only if, to first order, moving them back reduces it.

    Args:
        memory: Names or paths of old examples to compare on, separated by commas. If absent, the new examples serve,
            without their targets.
        every: Steps between two comparisons.
        share: Share of a tensor's entries that may move back at a comparison.
        decay: Share of its distance from the base by which such an entry moves back.
        batch: Examples in a comparison, redrawn each time.
        samples: Maximum number of examples to draw from.

    Reference:
        None: this is our own method, after what practitioners call forgetting-aware training. The attribution is that
        of Molchanov et al., Importance Estimation for Neural Network Pruning, 2019, arXiv 1906.10771, but keeps the
        sign.

    Confidence:
        own: No other source describes it in this detail.

    Cost:
        A gradient every few steps. Each comparison takes one forward of the model, one of the base, and one backward;
        the start weights are kept.

    Departs:
        Nothing.
    """

    memory: str = setting("", unit="names or paths", role="memory")
    every: int = setting(5, unit="steps", low=1, integer=True, search=(1, 20), log=True)
    share: float = setting(0.1, unit="share of entries", low=0.0, high=1.0, search=(0.01, 0.5), log=True)
    decay: float = setting(0.5, unit="share of the distance", low=0.0, high=1.0, search=(0.1, 1.0))
    batch: int = setting(16, unit="examples", low=1, integer=True)
    samples: int = setting(512, unit="examples", low=1, integer=True)

    asks: ClassVar[frozenset[Ask]] = frozenset({"gradient", "base_gradient", "start"})
    excludes: ClassVar[Mapping[str, str]] = {
        "OrthogonalProjection": "ConflictDecay moves single entries back, also along the directions that the projection"
        " keeps still; give one of the two.",
    }
    quick: ClassVar[Mapping[str, Any]] = {"every": 1}

    @property
    def off(self) -> bool:
        """Whether no weight moves back."""
        return self.share == 0.0 or self.decay == 0.0

    def init_state(self, run: Run) -> State:
        """Returns the examples to compare on, and the seed of the draws.

        Raises:
            HoldfastError: There are no examples.
        """
        chosen = (old_examples if self.sources else new_examples)(run, self, self.samples)
        return {**to_tensors(chosen), "seed": torch.tensor(run.seed)}

    def after_step(self, state: State, step: Step) -> None:
        """Compares every `every` steps, and moves the weights that cause a contradiction."""
        if (step.index + 1) % self.every:
            return
        device = next(iter(step.params.values())).device
        count = len(state["lengths"])
        rows = drawn(count, self.batch, int(state["seed"]), step.index + 1)

        def term(tok: Tokens) -> Tensor:
            spare = not self.sources
            return contradiction(tok.logits_NV, tok.base_logits_NV, tok.labels_N, spare_target=spare)

        grads = step.gradient(collate(to_examples(state, rows), 0, device), term)
        with torch.no_grad():
            for name, p in step.params.items():
                start = step.start[name].to(p.device, p.dtype)
                p.copy_(conflict_decay(p, start, grads[name].to(p.dtype), self.share, self.decay))
