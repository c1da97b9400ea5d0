"""Host: the interface of a run for its guard, its checkpoints and the edits of its weights."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.core.params import trainable
from holdfast.train import checkpoint, rewind
from holdfast.train.base_cache import BaseCache
from holdfast.train.controller import shares
from holdfast.train.session import Session
from holdfast.train.shipping import Shipping
from holdfast.train.trainer_view import TrainerView
from holdfast.train.trainers import HostTrainer

if TYPE_CHECKING:
    from torch.optim import Optimizer


class Host:
    """One trainer with one recipe, for code outside the training step.

    The guard, checkpoints and shipping reach trainer and recipe only through this class
    (docs/decisions/0007-a-host-beside-the-trainer.md).

    Attributes:
        session: The session of the recipe.
        shipped: Rank and relative error of the adapter that `ship` built; empty before `ship`, or without such an
            adapter.
        resume_from: The checkpoint from which the run resumes; None for a new run.
    """

    def __init__(
        self, trainer: HostTrainer, session: Session, view: TrainerView, shipping: Shipping, facts: Mapping[str, str]
    ) -> None:
        """Stores the parts of a run that has not begun.

        Args:
            trainer: The trainer.
            session: The session of the recipe on its model.
            view: Access to data and model before training, for `init_state`.
            shipping: The edits and the form of the shipped weights.
            facts: Facts, by name, in which a checkpoint must agree with this run to resume.
        """
        self.session = session
        self.shipped: dict[str, float] = {}
        self.resume_from: Path | None = None
        self._trainer = trainer
        self._view = view
        self._shipping = shipping
        self._facts = facts
        self._beside: dict[str, checkpoint.Resumable] = {}
        self._marks: checkpoint.Marks = {}

    @property
    def model(self) -> nn.Module:
        """The trained model, unwrapped, with the recipe's adapters."""
        return self.session.model

    @property
    def step(self) -> int:
        """Number of optimizer steps so far."""
        return self._trainer.state.global_step

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self._trainer.state.max_steps

    @property
    def is_first(self) -> bool:
        """Whether this is the first process, which asks the model and prints."""
        return self._trainer.args.process_index == 0

    @property
    def device(self) -> torch.device:
        """Device of this process."""
        return self._trainer.args.device

    @property
    def output(self) -> Path:
        """The run's folder."""
        return Path(str(self._trainer.args.output_dir))

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer, wrapped by accelerate; it exists once training has begun."""
        optimizer = self._trainer.optimizer
        assert optimizer is not None
        return optimizer

    @property
    def signals(self) -> dict[str, float]:
        """What a controller reads of the last step (`Tally.signals`)."""
        return self.session.tally.signals

    @property
    def ratio(self) -> float:
        """The share of old tokens in the data of the run; 0 if the recipe mixes in none."""
        return 0.0 if self._view.mix is None else sum(self._view.mix.ratios)

    @property
    def added(self) -> bool:
        """Whether the recipe adds terms to the loss, which a guard may raise."""
        return self.session.recipe.uses("token_loss") or self.session.recipe.uses("penalty")

    @property
    def _base_cache(self) -> BaseCache | None:
        forward = self.session.forward
        return None if forward is None else forward.comparison.kept

    def add_state(self, name: str, resumable: checkpoint.Resumable) -> None:
        """Adds an object whose state begins, is saved and resumes together with the state of the methods."""
        self._beside[name] = resumable

    @property
    def view(self) -> TrainerView:
        """The trainer as methods saw it before training."""
        return self._view

    def begin(self) -> None:
        """Creates the state of the recipe, or reads it from a checkpoint; call it once the number of steps is known."""
        session = self.session
        if self.resume_from is not None:
            state, self._marks = checkpoint.load(self.output, self.resume_from, self._facts)
            for name, resumable in self._beside.items():
                resumable.resume(state.pop(name, {}))
            session.state = state
            return
        session.state = session.recipe.init_state(self._view.run(forward=session.forward, begins=True))
        for resumable in self._beside.values():
            resumable.resume({})
        self._marks = checkpoint.mark(session.state)
        if self._trainer.args.should_save:
            checkpoint.save_start(self.output, session.state)
            self._view.save_made()

    def save(self) -> None:
        """Writes the state that changed since the start into the checkpoint of this step."""
        if (kept := self._base_cache) is not None:
            kept.store.flush()
        folder = self.output / f"checkpoint-{self.step}"
        state = self.session.state | {name: resumable.tensors() for name, resumable in self._beside.items()}
        checkpoint.save_changed(self.output, folder, state, self._marks, self._facts)

    def keep(self) -> rewind.Snapshot:
        """Returns a copy of the current run in host memory, for `go_back`."""
        return rewind.take_snapshot(self.model, self.optimizer, self.session.state, self._marks)

    def go_back(self, kept: rewind.Snapshot) -> None:
        """Restores the run from a copy."""
        rewind.go_back(kept, self.model, self.optimizer, self.session.state, self._marks, self.output)

    def weights(self) -> dict[str, torch.Tensor]:
        """Returns a copy of the trained weights in host memory, by name."""
        return {name: p.detach().to("cpu", copy=True) for name, p in trainable(self.model).items()}

    def pull_back(self, start: Mapping[str, torch.Tensor], end: Mapping[str, torch.Tensor], share: float) -> None:
        """Sets the trained weights to a share of the way from `start` to `end`."""
        rewind.pull_back(self.model, start, end, share)

    def set_lr(self, factor: float) -> None:
        """Sets the learning rate of this step to `factor` times the initial one."""
        rates = []
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
            rates.append(group["lr"])
        # The trainer logs this attribute; the scheduler overwrites it at its next step.
        self._trainer.lr_scheduler._last_lr = rates  # type: ignore[union-attr]

    def slow_down(self, factor: float) -> None:
        """Scales the learning rate from now on under any schedule; checkpoints keep the scale with the optimizer.

        A schedule computes rates from the initial one; scheduler and optimizer each have a copy of it.
        """
        wrapped = self._trainer.lr_scheduler
        scheduler: Any = getattr(wrapped, "scheduler", wrapped)  # accelerate wraps it
        scheduler.base_lrs = [rate * factor for rate in scheduler.base_lrs]
        for group in self.optimizer.param_groups:
            group["initial_lr"] *= factor
            group["lr"] *= factor

    def set_hold(self, factor: float) -> None:
        """Sets the factor on the recipe's added terms, from the next micro-batch on."""
        self.session.hold = factor

    def set_odds(self, odds: float) -> None:
        """Sets the odds of an old token in the task loss, as a multiple of those in the data, from the next step on."""
        _, new, old = shares(self.ratio, odds)
        self.session.weights = None if odds == 1.0 or not self.ratio else (new, old)

    def note(self, numbers: Mapping[str, float]) -> None:
        """Adds numbers to the next line of the log."""
        self.session.notes.update(numbers)

    def as_shipped(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the model has the weights that it would ship if training ended now."""
        return self._shipping.as_shipped(self.session.state)

    def ship(self) -> None:
        """Applies the recipe's edits of weights, and gives the trainer the model to ship."""
        if (kept := self._base_cache) is not None:
            kept.end(finished=self.step >= self.steps)
        model, self.shipped = self._shipping.ship(self.session.state)
        trainer = self._trainer
        if model is not trainer.model:
            trainer.model = trainer.model_wrapped = self.session.model = model

    def check_form(self) -> None:
        """Raises `HoldfastError` if the model was shipped in another form than it had in training."""
        if self._shipping.model is not self._trainer.model or (self._shipping.has_moved and self.shipped):
            raise HoldfastError(
                "This trainer has shipped its model in another form than it was trained in; build a new trainer on it"
                " to continue training."
            )
