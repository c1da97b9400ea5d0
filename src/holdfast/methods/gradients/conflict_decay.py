"""Conflict decay: where tuned model and base contradict each other, the weights that carry it go back to the base."""

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
    """Returns by how much two models contradict each other, nats, `[N]`; 0 where their likeliest tokens are one.

    Args:
        logits_NV: Of the tuned model; gradients flow.
        base_logits_NV: Of the base.
        labels_N: Target ids.
        spare_target: Whether the target is left out of both first: that it is learned is no contradiction.
    """
    first_N, base_first_N = (
        (of.scatter(-1, labels_N[:, None], -torch.inf) if spare_target else of).argmax(-1)
        for of in (logits_NV.detach(), base_logits_NV.detach())
    )
    kl_N = forward_kl(logits_NV, base_logits_NV, labels_N if spare_target else None)
    return torch.where(first_N != base_first_N, kl_N, torch.zeros_like(kl_N))


def conflict_decay(weight: Tensor, start: Tensor, grad: Tensor, share: float, decay: float) -> Tensor:
    """Returns a weight whose entries that carry most of a loss are moved toward the start.

    An entry carries grad * (weight - start), by which the loss would fall to first order if it went back.

    Args:
        weight: The weight as it is.
        start: What it was before training, of the same shape.
        grad: Gradient of the loss to it.
        share: Share of the entries that may move; none moves that carries nothing, or less.
        decay: Share of its way from the start that an entry goes back.
    """
    moved = weight - start
    carried = grad * moved
    carried = torch.where(carried > 0, carried, -torch.inf)
    chosen = largest(carried, -int(-carried.numel() * share // 1))
    return torch.where(chosen, weight - decay * moved, weight)


@dataclasses.dataclass(frozen=True, repr=False)
class ConflictDecay(Method):
    """Decays toward the base, every few steps, the weights that make the model contradict what the base says.

        c_t = [argmax p_a != argmax p_b] KL(p_b || p_a),   over tokens t of a batch of old (or new) examples
        s_i = (d mean(c) / d theta_i) * (theta_i - theta_i^0)
        theta_i <- theta_i - decay * (theta_i - theta_i^0)   for the `share` of each tensor with the largest s_i > 0

    p_b is the base, p_a the model. Weight decay toward the base pulls at everything; this pulls only at what carries a
    contradiction, and only where the first-order estimate says that going back would heal it.

    Args:
        memory: Names or paths of old examples to look at, separated by commas; the new ones if absent, of which the
            target is then spared.
        every: Steps from one look to the next.
        share: Share of a tensor's entries that may go back at a look.
        decay: Share of its way from the base that such an entry goes back.
        batch: Examples of a look, drawn anew each time.
        samples: Most examples that are drawn from.

    Reference:
        None: our own, after what practitioners call forgetting-aware training. The attribution is that of Molchanov et
        al., Importance Estimation for Neural Network Pruning, 2019, arXiv 1906.10771, with its sign kept.

    Confidence:
        own: Nobody else has described it to this detail.

    Cost:
        A gradient every few steps. One forward of model and base and one backward at each look; the start weights.

    Departs:
        Nothing.
    """

    memory: str = setting("", unit="names or paths", role="memory")
    every: int = setting(5, unit="steps", low=1, integer=True, search=(1, 20), log=True)
    share: float = setting(0.1, unit="share of entries", low=0.0, high=1.0, search=(0.01, 0.5), log=True)
    decay: float = setting(0.5, unit="share of the way", low=0.0, high=1.0, search=(0.1, 1.0))
    batch: int = setting(16, unit="examples", low=1, integer=True)
    samples: int = setting(512, unit="examples", low=1, integer=True)

    asks: ClassVar[frozenset[Ask]] = frozenset({"gradient", "base_gradient", "start"})
    quick: ClassVar[Mapping[str, Any]] = {"every": 1}

    @property
    def off(self) -> bool:
        """Whether nothing goes back."""
        return self.share == 0.0 or self.decay == 0.0

    def init_state(self, run: Run) -> State:
        """Returns the examples that are looked at, and the seed of what is drawn from them.

        Raises:
            HoldfastError: There is none.
        """
        chosen = (old_examples if self.sources else new_examples)(run, self, self.samples)
        return {**to_tensors(chosen), "seed": torch.tensor(run.seed)}

    def after_step(self, state: State, step: Step) -> None:
        """Looks every few steps (`every`), and moves the weights that carry a contradiction."""
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
