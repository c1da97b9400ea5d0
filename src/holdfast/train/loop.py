"""The reference loop: it defines a training step in one short function.

This is the specification, not the way to train: `holdfast.attach` must reproduce it step for step. It keeps all logits
in memory and runs in one process. `full_loop.py` adds a second layer, for the requests of single methods.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from holdfast.core.method import Chain, State
from holdfast.core.params import snapshot, trainable
from holdfast.core.run import SOURCE, Batch, Step
from holdfast.core.tokens import Tokens


@dataclasses.dataclass
class Loop:
    """A model, its frozen base, the active methods with their state, and an optimizer (one group per learning rate)."""

    model: nn.Module
    base: nn.Module | None
    recipe: Chain
    state: State
    optimizer: torch.optim.Optimizer
    clip: float = 1.0
    hold: float = 1.0  # factor on the added terms: penalties to the base model and the like
    weights: tuple[float, float] = (1.0, 1.0)  # factors on the task loss of new and of old tokens

    def step(self, index: int, total: int, batches: Sequence[Batch], rates: Sequence[float]) -> dict[str, float]:
        """Takes one optimizer step; returns the task loss of the new tokens and the factor on the learning rate."""
        recipe, state, params = self.recipe, self.state, trainable(self.model)
        count = sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in batches)
        sums = dict.fromkeys(("new", "nll_N", *recipe.needs.means), 0.0)
        for batch in batches:
            tok = self.tokens(batch)
            weights_N = recipe.weigh_tokens(state, tok).detach()
            weights_N = weights_N * weights_N.new_tensor(self.weights)[tok.is_on("memory").long()]
            loss_N = torch.where(weights_N == 0, 0.0, tok.nll_N) * weights_N + self.hold * recipe.token_loss(state, tok)
            (loss_N.sum() / count).backward()
            new_N = tok.is_on("new")
            for name in sums:
                sums[name] += float((new_N if name == "new" else getattr(tok, name).detach()[new_N]).sum())
        means = {name: value / sums["new"] if sums["new"] else math.nan for name, value in sums.items()}
        step = self.shown(Step(index, total, means, params))
        added = recipe.penalty(state, step)
        if isinstance(added, Tensor):
            (self.hold * added).backward()
        factor = recipe.scale_lr(state, step)
        if self.clip:
            nn.utils.clip_grad_norm_(params.values(), self.clip)
        recipe.edit_grads(state, step)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        before = snapshot(params)
        self.optimizer.step()
        for name, old in before.items():
            params[name].data = recipe.edit_update(state, step, name, old, params[name].data)
        recipe.after_step(state, step)
        self.optimizer.zero_grad()
        return {"task_loss": means["nll_N"], "lr_factor": factor}

    def shown(self, step: Step) -> Step:
        """Returns the step in the form that the methods receive."""
        return step

    def tokens(self, batch: Batch) -> Tokens:
        """Returns all supervised tokens of a batch, with the logits of both models."""
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask") if name in batch}
        labels_BT, scored_BT = batch["labels"][:, 1:], batch["labels"][:, 1:] != -100
        source_BT = batch[SOURCE][:, 1:] if SOURCE in batch else torch.zeros_like(labels_BT)
        row_BT = torch.arange(len(labels_BT))[:, None].expand_as(labels_BT)
        base = None if self.base is None else self.base(**inputs).logits[:, :-1][scored_BT].detach()
        logits = self.model(**inputs).logits[:, :-1][scored_BT]
        return Tokens(logits, labels_BT[scored_BT], source_BT[scored_BT], row_BT[scored_BT], base_logits_NV=base)
