"""Session: one recipe at work on one model, between a trainer's calls; knows no trainer.

A trainer (`holdfast.train.attach`) tells it when a step begins, hands it each micro-batch, asks it for the learning
rate before the last backward, and tells it before and after the update.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain, State
from holdfast.core.mix import NEW
from holdfast.core.params import snapshot, trainable
from holdfast.core.run import Step
from holdfast.core.teacher import StateCache, Teacher
from holdfast.core.units import UnitIndex
from holdfast.probes.generate import continued
from holdfast.train.forward import Forward
from holdfast.train.units import Inputs

Reduce = Callable[[Tensor], Tensor]
"""Sums a tensor over all processes."""

Gather = Callable[[Tensor], Tensor]
"""Puts vectors of all processes, of any length each, one behind the other."""


def owns_forward(recipe: Chain, mixes: bool) -> bool:
    """Returns whether a recipe needs the units themselves, so that the trainer's own loss must give way.

    Args:
        recipe: The active methods.
        mixes: Whether there are memories among the examples.
    """
    token_terms = recipe.uses("weigh_tokens") or recipe.uses("token_loss")
    own_means = recipe.needs.means - {"nll_N"} or (recipe.needs.means and mixes)
    return bool(token_terms or own_means or recipe.needs.sees)


class Session:
    """A recipe's forward, state and step statistics.

    Attributes:
        owns_forward: Whether the recipe needs the units themselves, so that the session computes the loss; otherwise
            the trainer's own loss is left untouched, and only looked at.
        reads: Whether the mean task loss is read from the model's predictions, beside the trainer's own loss.
        scales_lr: Whether the recipe sets the learning rate.
        hold: Factor on all added terms.
        state: The recipe's state, once the run has begun.
        notes: Numbers to be logged with the next line, by name.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Chain,
        *,
        reduce: Reduce,
        gather: Gather,
        teacher: Teacher | None,
        cache: StateCache | None,
        index: UnitIndex | None,
        mixes: bool,
        metrics: bool,
        reads: bool = False,
    ) -> None:
        """Prepares the forward.

        Args:
            model: The model to train, unwrapped, in the shape it will have.
            recipe: The active methods.
            reduce: Sum over processes.
            gather: Vectors of all processes as one.
            teacher: The frozen base, where the recipe needs one.
            cache: Where the base's states are kept, when they are computed beforehand.
            index: The numbers of the training examples' units, where the recipe reads them.
            mixes: Whether there are memories among the examples.
            metrics: Whether entropy and accuracy are wanted.
            reads: Whether the trainer's own loss is another than the task loss, which a recipe that wants its mean then
                reads beside it.
        """
        self.model = model
        self.recipe = recipe
        self.reduce = reduce
        self.gather = gather
        self.owns_forward = owns_forward(recipe, mixes)
        self.reads = reads and bool(recipe.needs.means) and not self.owns_forward
        self.scales_lr = recipe.uses("scale_lr")
        looks = self.owns_forward or "gradient" in recipe.needs.asks
        self.forward = (
            Forward(model, recipe, teacher=teacher, cache=cache, index=index, metrics=metrics) if looks else None
        )
        self.start = snapshot(trainable(model)) if "start" in recipe.needs.asks else {}
        self.hold = 1.0
        self.state: State = {}
        self.means: dict[str, float] = {}
        self.values: dict[str, Tensor] = {}
        self.notes: dict[str, float] = {}
        self.lr_factor = 1.0
        self.new_share = 1.0
        self._unlogged: list[tuple[float, float]] = []
        self._index = self._total = 0
        self._units = 1.0
        self._sums: dict[str, Tensor] = {}
        self._seen: dict[str, list[Tensor]] = {}
        self._observed = 0.0
        self._before: dict[str, Tensor] = {}
        self._passed = False

    @property
    def acts_in_loss(self) -> bool:
        """Whether the recipe does anything that a trainer's own loss, computed past this session, would leave out."""
        return self.owns_forward or any(map(self.recipe.uses, ("penalty", "scale_lr")))

    def begin_step(self, index: int, total: int) -> None:
        """Starts the optimizer step that comes after `index` others, of `total`."""
        self._index, self._total = index, total
        self._sums, self._seen, self._observed = {}, {}, 0.0
        self.means, self.values = {}, {}

    def renew(self, batches: Sequence[Any]) -> Sequence[Any]:
        """Returns what the recipe makes of the step's micro-batches of this process, which may be themselves."""
        if not self.recipe.uses("renew_batches"):
            return batches
        return self.recipe.renew_batches(self.state, self.step(), batches)

    def count_units(self, micro_batches: Sequence[tuple[Tensor, Tensor | None]]) -> None:
        """Counts the step's units over all processes, before its first forward.

        Args:
            micro_batches: For each of this process the positions that predict a supervised label (`scored_of`), and
                the sources, `[B, T]`; no sources where all are new.
        """
        counts = torch.zeros(2, dtype=torch.float64, device=next(self.model.parameters()).device)
        for scored_BT, source_BT in micro_batches:
            new_BT = scored_BT if source_BT is None else scored_BT[:, :-1] & (source_BT[:, 1:] == NEW)
            counts += torch.stack([scored_BT.sum(), new_BT.sum()])
        units, new = self.reduce(counts).tolist()
        self._units = max(units, 1.0)
        self.new_share = new / self._units

    def loss(
        self, wrapped: nn.Module, inputs: Inputs, source_BT: Tensor | None, shown: Mapping[str, Any] | None = None
    ) -> tuple[Tensor, dict[str, Tensor], Tensor | None]:
        """Returns this micro-batch's part of the step's loss, its own sums, and the model's auxiliary loss.

        Args:
            wrapped: The model as the trainer calls it.
            inputs: The micro-batch.
            source_BT: Source number of each position; absent when all are new.
            shown: What the base reads in its place (see `holdfast.core.run.SHOWN`).
        """
        assert self.forward is not None
        self._passed = True
        sums = self.forward(wrapped, inputs, source_BT, self.state, self.hold, shown)
        for name, value in sums.stats.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value
        for name, value in sums.values.items():
            self._seen.setdefault(name, []).append(value)
        return sums.loss / self._units, sums.stats, sums.aux_loss

    def observe(self, loss: Tensor) -> None:
        """Notes this process's part of the step's loss where the trainer computed it itself; parts add up."""
        self._passed = True
        self._observed += float(loss)

    def read(self, losses: Sequence[Tensor], who: str) -> None:
        """Notes the loss of each of this micro-batch's tokens where the trainer trains on another loss.

        Args:
            losses: One vector `[N]`, nats; none if the model was not seen to predict the labels.
            who: The trainer's class, for the message.

        Raises:
            HoldfastError: There is none.
        """
        self._passed = True
        if not losses:
            raise HoldfastError(
                f"{self.recipe!r} reads the mean loss of the new tokens, and {who} does not call the model in"
                " compute_loss so that it gives logits for each label; let it, or leave out what reads the loss."
            )
        wide = torch.float64 if losses[0].device.type != "mps" else torch.float32
        for name, values_N in (("new_units", torch.ones_like(losses[0])), ("new.nll_N", losses[0])):
            self._sums[name] = self._sums.get(name, 0.0) + values_N.sum(dtype=wide)

    def finish_forward(self, processes: int) -> Tensor | float:
        """Called after the last forward of a step and before its backward; returns the penalty to add to the loss.

        The step's means and the learning-rate factor are known from here on.
        """
        if self.owns_forward or self.reads:
            names = sorted(name for name in self._sums if name == "new_units" or name.startswith("new."))
            reduced = self.reduce(torch.stack([self._sums[name] for name in names]))
            sums = dict(zip(names, reduced.tolist(), strict=True))
            new = sums.pop("new_units")
            self.means = {name.removeprefix("new."): value / new if new else math.nan for name, value in sums.items()}
            self.values = {name: self.gather(torch.cat(self._seen[name])) for name in sorted(self._seen)}
        elif self.recipe.needs.means:
            device = next(self.model.parameters()).device
            self.means = {"nll_N": float(self.reduce(torch.tensor(self._observed, device=device))) / processes}
        self._unlogged.append((self.means.get("nll_N", math.nan), 1.0 - self.new_share))
        step = self.step()
        self.lr_factor = self.recipe.scale_lr(self.state, step)
        penalty = self.recipe.penalty(self.state, step)
        return self.hold * penalty

    def step(self) -> Step:
        """Returns the current step as the hooks see it."""
        return Step(
            self._index,
            self._total,
            self.means,
            trainable(self.model),
            start=self.start,
            values=self.values,
            write=functools.partial(continued, self.model),
            **({} if self.forward is None else {"gradient": self.forward.gradient}),
        )

    def before_update(self) -> None:
        """Called after clipping, before the optimizer.

        Raises:
            HoldfastError: No loss has been computed with the recipe.
        """
        if self.acts_in_loss and not self._passed:
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
        found, self.notes = self.notes, {}
        losses = [loss for loss, _ in self._unlogged if math.isfinite(loss)]
        shares = [share for _, share in self._unlogged]
        self._unlogged = []
        if losses:
            found["task_loss"] = sum(losses) / len(losses)
        if self.scales_lr:
            found["lr_factor"] = self.lr_factor
        if any(shares):
            found["memory_share"] = sum(shares) / len(shares)
        return found


def check_losses(logs: Mapping[str, Any], step: int) -> None:
    """Raises `HoldfastError` when a logged loss is not a finite number."""
    for name in ("loss", "task_loss"):
        value = logs.get(name)
        if value is not None and not math.isfinite(float(value)):
            raise HoldfastError(
                f"Step {step}: the {name.replace('_', ' ')} is {value}; lower the learning rate (Train(lr=...)), or"
                " train in bf16 or float32 if this is fp16."
            )
