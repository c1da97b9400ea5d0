"""Session: one recipe at work on one model, between a trainer's calls; knows no trainer.

A trainer (`holdfast.train.attach`) tells it when a step begins, hands it each micro-batch, asks it for the learning
rate before the last backward, and tells it before and after the update.
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
from holdfast.core.run import Step
from holdfast.probes.generation import continued
from holdfast.train.forward import Forward
from holdfast.train.supervised import Inputs, Shown
from holdfast.train.tally import Tally


def owns_forward(recipe: Chain, mixes: bool) -> bool:
    """Returns whether a recipe needs the tokens themselves, so that the trainer's own loss must give way.

    Args:
        recipe: The active methods.
        mixes: Whether there are memories among the examples.
    """
    token_terms = recipe.uses("weigh_tokens") or recipe.uses("token_loss")
    own_means = recipe.needs.means - {"nll_N"} or (recipe.needs.means and mixes)
    return bool(token_terms or own_means or recipe.needs.sees)


def looks_at_tokens(recipe: Chain, mixes: bool) -> bool:
    """Returns whether a recipe needs a `Forward`: for its own loss, or for gradients on other batches."""
    return owns_forward(recipe, mixes) or "gradient" in recipe.needs.asks


class Session:
    """A recipe's forward, state and step statistics.

    Attributes:
        owns_forward: Whether the recipe needs the tokens themselves, so that the session computes the loss; otherwise
            the trainer's own loss is left untouched, and only looked at.
        reads: Whether the mean task loss is read from the model's predictions, beside the trainer's own loss.
        scales_lr: Whether the recipe sets the learning rate.
        hold: Factor on all added terms.
        state: The recipe's state, once the run has begun.
        tally: What the step's micro-batches add up to.
        notes: Numbers to be logged with the next line, by name.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Chain,
        *,
        forward: Forward | None,
        tally: Tally,
        mixes: bool,
        reads: bool = False,
    ) -> None:
        """Takes the parts; nothing is computed yet.

        Args:
            model: The model to train, unwrapped, in the shape it will have.
            recipe: The active methods.
            forward: Its forward, where the recipe needs the tokens (`looks_at_tokens`).
            tally: What a step's micro-batches are added up in.
            mixes: Whether there are memories among the examples.
            reads: Whether the trainer's own loss is another than the task loss, which a recipe that wants its mean then
                reads beside it.
        """
        self.model = model
        self.recipe = recipe
        self.forward = forward
        self.tally = tally
        self.owns_forward = owns_forward(recipe, mixes)
        self.reads = reads and bool(recipe.needs.means) and not self.owns_forward
        self.scales_lr = recipe.uses("scale_lr")
        self.start = snapshot(trainable(model)) if "start" in recipe.needs.asks else {}
        self.hold = 1.0
        self.state: State = {}
        self.notes: dict[str, float] = {}
        self.lr_factor = 1.0
        self._index = self._total = 0
        self._before: dict[str, Tensor] = {}

    @property
    def acts_in_loss(self) -> bool:
        """Whether the recipe does anything that a trainer's own loss, computed past this session, would leave out."""
        return self.owns_forward or any(map(self.recipe.uses, ("penalty", "scale_lr")))

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def begin_step(self, index: int, total: int) -> None:
        """Starts the optimizer step that comes after `index` others, of `total`."""
        self._index, self._total = index, total
        self.tally.clear()

    def renew(self, batches: Sequence[Any]) -> Sequence[Any]:
        """Returns what the recipe makes of the step's micro-batches of this process, which may be themselves."""
        if not self.recipe.uses("renew_batches"):
            return batches
        return self.recipe.renew_batches(self.state, self.step(), batches)

    def count_tokens(self, micro_batches: Sequence[tuple[Tensor, Tensor | None]]) -> None:
        """Counts the step's tokens over all processes, before its first forward.

        Args:
            micro_batches: For each of this process the positions that predict a supervised label (`scored_of`), and
                the sources, `[B, T]`; no sources where all are new.
        """
        self.tally.count(micro_batches, self._device)

    def loss(
        self, wrapped: nn.Module, inputs: Inputs, source_BT: Tensor | None, shown: Shown | None = None
    ) -> tuple[Tensor, dict[str, Tensor], Tensor | None]:
        """Returns this micro-batch's part of the step's loss, its own sums, and the model's auxiliary loss.

        Args:
            wrapped: The model as the trainer calls it.
            inputs: The micro-batch.
            source_BT: Source number of each position; absent when all are new.
            shown: What the base reads in its place (see `holdfast.core.run.SHOWN`).
        """
        assert self.forward is not None
        sums = self.forward(wrapped, inputs, source_BT, self.state, self.hold, shown)
        self.tally.add(sums)
        return sums.loss / self.tally.tokens, sums.stats, sums.aux_loss

    def observe(self, loss: Tensor) -> None:
        """Notes this process's part of the step's loss where the trainer computed it itself; parts add up."""
        self.tally.add_mean(loss)

    def read(self, losses: Sequence[Tensor], who: str) -> None:
        """Notes the loss of each of this micro-batch's tokens where the trainer trains on another loss.

        Args:
            losses: One vector `[N]`, nats; none if the model was not seen to predict the labels.
            who: The trainer's class, for the message.

        Raises:
            HoldfastError: There is none.
        """
        if not losses:
            raise HoldfastError(
                f"{self.recipe!r} reads the mean loss of the new tokens, and {who} does not call the model in"
                " compute_loss so that it gives logits for each label; let it, or leave out what reads the loss."
            )
        self.tally.add_losses(losses[0])

    def finish_forward(self, processes: int) -> Tensor | float:
        """Called after the last forward of a step and before its backward; returns the penalty to add to the loss.

        The step's means and the learning-rate factor are known from here on.
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
        """Returns the current step as the hooks see it."""
        return Step(
            self._index,
            self._total,
            self.tally.means,
            trainable(self.model),
            start=self.start,
            values=self.tally.values,
            write=functools.partial(continued, self.model),
            **({} if self.forward is None else {"gradient": self.forward.gradient}),
        )

    def before_update(self) -> None:
        """Called after clipping, before the optimizer.

        Raises:
            HoldfastError: No loss has been computed with the recipe.
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
        """Called after the optimizer, before the gradients are zeroed; `skipped` where it took no step (fp16)."""
        if skipped:  # nothing was updated, and the gradients are no numbers
            self._before = {}
            return
        if self.recipe.uses("edit_update"):
            step = self.step()
            for name, before in self._before.items():
                step.params[name].copy_(
                    self.recipe.edit_update(self.state, step, name, before, step.params[name].detach().clone())
                )
            self._before = {}
        if self.recipe.uses("after_step"):
            self.recipe.after_step(self.state, self.step())

    def logs(self) -> dict[str, float]:
        """Returns what is worth logging, and forgets it.

        Means over the steps since the last time, as the trainer's own loss is; the learning-rate factor of the last
        step, as the trainer's learning rate is; and what others noted.
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


def check_losses(logs: Mapping[str, Any], step: int) -> None:
    """Raises `HoldfastError` when a logged loss is not a finite number."""
    for name in ("loss", "task_loss"):
        value = logs.get(name)
        if value is not None and not math.isfinite(float(value)):
            raise HoldfastError(
                f"Step {step}: the {name.replace('_', ' ')} is {value}; lower the learning rate (Train(lr=...)), or"
                " train in bf16 or float32 if this is fp16."
            )
