"""Session: one recipe applied to one model during training. It does not know the trainer.

A trainer (`holdfast.train.attach`) calls it at the beginning of a step, for each micro-batch, before the last backward
(for the penalty and the learning rate), and before and after the update.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain, State
from holdfast.core.params import snapshot, trainable
from holdfast.core.precision import Precision, computing_in
from holdfast.core.run import Step
from holdfast.probes.generation import continued
from holdfast.train.forward import Forward, Weights
from holdfast.train.supervised import Inputs, Shown
from holdfast.train.tally import Tally


def owns_forward(recipe: Chain, mixes: bool, steered: bool = False) -> bool:
    """Returns whether a recipe needs single tokens, so that the session has to compute the loss, not the trainer.

    Args:
        recipe: The active methods.
        mixes: Whether the examples contain memories.
        steered: Whether a controller steers the run; it weighs old tokens, and reads what the base says of them.
    """
    token_terms = recipe.uses("weigh_tokens") or recipe.uses("token_loss")
    token_means = recipe.needs.means - {"nll_N"} or (recipe.needs.means and mixes)
    steers = steered and (mixes or recipe.needs.base)
    return bool(token_terms or token_means or recipe.needs.sees or steers)


def looks_at_tokens(recipe: Chain, mixes: bool, steered: bool = False) -> bool:
    """Returns whether a recipe needs a `Forward`: for its own loss, or for gradients on other batches."""
    return owns_forward(recipe, mixes, steered) or "gradient" in recipe.needs.asks


class Session:
    """A recipe's forward, state and step statistics.

    Attributes:
        owns_forward: Whether the session computes the loss, because the recipe needs single tokens or the caller wants
            it in chunks. Otherwise the trainer computes its loss as before, and the session only observes it.
        reads: Whether the session computes the mean task loss from the model's predictions, beside the trainer's loss.
        scales_lr: Whether the recipe sets the learning rate.
        hold: Factor on the added terms: penalties to the base model and the like.
        weights: Factors on the task loss of new and of old tokens; None for 1.
        state: The recipe's state; empty before the run begins.
        tally: Sums over the step's micro-batches.
        notes: Numbers for the next line of the log, by name.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Chain,
        *,
        forward: Forward | None,
        tally: Tally,
        owns_forward: bool,
        reads: bool = False,
        precision: Precision = "fp32",
    ) -> None:
        """Stores the parts; it computes nothing.

        Args:
            model: The model to train, unwrapped, after the recipe shaped it.
            recipe: The active methods.
            forward: The forward of the model, if the recipe needs one (`looks_at_tokens`).
            tally: Sums over a step's micro-batches.
            owns_forward: Whether the session computes the loss; it must if `owns_forward` of the recipe says so.
            reads: Whether the trainer's loss is not the task loss; a recipe that needs its mean then reads it from the
                predictions.
            precision: Number format in which the model writes.
        """
        self.model = model
        self.recipe = recipe
        self.forward = forward
        self.tally = tally
        self.owns_forward = owns_forward
        self.reads = reads and bool(recipe.needs.means) and not self.owns_forward
        self.scales_lr = recipe.uses("scale_lr")
        self.start = snapshot(trainable(model)) if "start" in recipe.needs.asks else {}
        self._precision = precision
        self.hold = 1.0
        self.weights: Weights | None = None
        self.state: State = {}
        self.notes: dict[str, float] = {}
        self.lr_factor = 1.0
        self._index = self._total = 0
        self._before: dict[str, Tensor] = {}

    @property
    def acts_in_loss(self) -> bool:
        """Whether the recipe acts in the loss, so that a trainer that bypasses this session would leave it out."""
        return self.owns_forward or any(map(self.recipe.uses, ("penalty", "scale_lr")))

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def begin_step(self, index: int, total: int) -> None:
        """Begins the optimizer step with number `index`, counted from 0, of `total`."""
        self._index, self._total = index, total
        self.tally.clear()

    def renew(self, batches: Sequence[Any]) -> Sequence[Any]:
        """Returns the micro-batches to train on instead of this process's micro-batches; by default the same ones."""
        if not self.recipe.uses("renew_batches"):
            return batches
        return self.recipe.renew_batches(self.state, self.step(), batches)

    def count_tokens(self, micro_batches: Sequence[tuple[Tensor, Tensor | None]]) -> None:
        """Counts the step's tokens over all processes, before its first forward.

        Args:
            micro_batches: For each micro-batch of this process, the mask of the positions that predict a supervised
                label (`scored_of`) and the source numbers, `[B, T]` each; None if all sources are new.
        """
        self.tally.count(micro_batches, self._device)

    def loss(
        self, wrapped: nn.Module, inputs: Inputs, source_BT: Tensor | None, shown: Shown | None = None
    ) -> tuple[Tensor, dict[str, Tensor], Tensor | None]:
        """Returns the micro-batch's part of the step's loss, its detached sums, and the model's auxiliary loss.

        Args:
            wrapped: The model as the trainer calls it.
            inputs: The micro-batch.
            source_BT: Source number of each position; None if all positions are new.
            shown: The batch that the base reads instead (see `holdfast.core.run.SHOWN`).
        """
        assert self.forward is not None
        sums = self.forward(wrapped, inputs, source_BT, self.state, self.hold, shown, self.weights)
        self.tally.add(sums)
        return sums.loss / self.tally.tokens, sums.stats, sums.aux_loss

    def observe(self, loss: Tensor) -> None:
        """Adds a part of the step's loss that the trainer computed on this process."""
        self.tally.add_mean(loss)

    def read(self, losses: Sequence[Tensor], who: str) -> None:
        """Adds the task losses of a micro-batch's tokens, for a trainer that trains on another loss.

        Args:
            losses: One vector `[N]`, nats; empty if the model gave no logits for the labels.
            who: Name of the trainer's class, for the message.

        Raises:
            HoldfastError: There are no losses.
        """
        if not losses:
            raise HoldfastError(
                f"{self.recipe!r} reads the mean loss of the new tokens, but the model gives no logits for each label"
                f" when {who} calls it in compute_loss; change that, or leave out the method that reads the loss."
            )
        self.tally.add_losses(losses[0])

    def finish_forward(self, processes: int) -> Tensor | float:
        """Returns the penalty to add to the loss; call it after a step's last forward, before its backward.

        It completes the step's means and the learning-rate factor.
        """
        if self.owns_forward or self.reads:
            self.tally.close()
        elif self.recipe.needs.means:
            self.tally.close_mean(self._device, processes)
        self.tally.note()
        step = self.step()
        self.lr_factor = self.recipe.scale_lr(self.state, step)
        penalty = self.recipe.penalty(self.state, step)
        return self.hold * penalty

    def step(self) -> Step:
        """Returns the current step in the form that the hooks receive."""
        return Step(
            self._index,
            self._total,
            self.tally.means,
            trainable(self.model),
            start=self.start,
            values=self.tally.values,
            write=functools.partial(_written, self.model, self._precision),
            **({} if self.forward is None else {"gradient": self.forward.gradient}),
        )

    def before_update(self) -> None:
        """Lets the recipe edit the gradients; call it after clipping, before the optimizer.

        Raises:
            HoldfastError: The trainer computed its loss without the recipe.
        """
        if self.acts_in_loss and not self.tally.begun:
            raise HoldfastError(
                f"{self.recipe!r} was left out of this step: the trainer computes its loss past Trainer.compute_loss (a"
                " training_step of its own, or a compute_loss put on the trainer); let it call the one it has."
            )
        if self.recipe.uses("edit_grads"):
            self.recipe.edit_grads(self.state, self.step())
        if self.recipe.uses("edit_update"):
            self._before = snapshot(trainable(self.model))

    @torch.no_grad()
    def after_update(self, *, skipped: bool = False) -> None:
        """Lets the recipe edit the update; call it after the optimizer, before the gradients are zeroed.

        Args:
            skipped: Whether the optimizer took no step (fp16, non-finite gradients).
        """
        if skipped:
            self._before = {}
            return
        if self.recipe.uses("edit_update"):
            _edit_update(self.recipe, self.state, self.step(), self._before)
            self._before = {}
        if self.recipe.uses("after_step"):
            self.recipe.after_step(self.state, self.step())

    def logs(self) -> dict[str, float]:
        """Returns the numbers for the log by name, and clears them.

        They are means over the steps since the last call, like the trainer's loss; the learning-rate factor of the last
        step, like the trainer's learning rate; and the notes.
        """
        logs, self.notes = self.notes, {}
        loss, share = self.tally.averages()
        if loss is not None:
            logs["task_loss"] = loss
        if self.scales_lr:
            logs["lr_factor"] = self.lr_factor
        if share:
            logs["memory_share"] = share
        return logs


def _edit_update(recipe: Chain, state: State, step: Step, before: Mapping[str, Tensor]) -> None:
    """Replaces each parameter by what the recipe makes of its value before the update and of its new one."""
    for name, old in before.items():
        step.params[name].copy_(recipe.edit_update(state, step, name, old, step.params[name].detach().clone()))


def _written(model: nn.Module, precision: Precision, prompts: Sequence[Sequence[int]], **how: Any) -> list[list[int]]:
    """Returns what a model writes behind each prompt; `how` as in `holdfast.probes.generation.continued`."""
    with computing_in(model, precision):
        return continued(model, prompts, **how)


def check_losses(logs: Mapping[str, Any], step: int) -> None:
    """Raises `HoldfastError` if a logged loss is not a finite number."""
    for name in ("loss", "task_loss"):
        value = logs.get(name)
        if value is not None and not math.isfinite(float(value)):
            raise HoldfastError(
                f"Step {step}: the {name.replace('_', ' ')} is {value}; lower the learning rate (Train(lr=...)), or"
                " train in bf16 or float32 if this is fp16."
            )
