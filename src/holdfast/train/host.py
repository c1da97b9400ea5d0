"""Host: a run as its guard, its checkpoints and the edits of its weights see it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.train import checkpoint, rewind
from holdfast.train.session import Session
from holdfast.train.ship import Shipping
from holdfast.train.trainer_view import TrainerView
from holdfast.train.trainers import HostTrainer

if TYPE_CHECKING:
    from torch.optim import Optimizer


class Host:
    """One trainer with one recipe: what may be known of the run, and done to it, from beside the training step.

    Whatever is not the step itself (the guard, a checkpoint, a model that is shipped) reaches trainer and recipe
    through this alone.

    Attributes:
        session: The recipe at work.
        shipped: What `ship` said of the adapter that was made anew; empty before, and where none was.
        resume_from: The checkpoint that the run goes on from; None where it begins.
    """

    def __init__(
        self, trainer: HostTrainer, session: Session, view: TrainerView, shipping: Shipping, facts: Mapping[str, str]
    ) -> None:
        """Takes the parts of a run that has not begun.

        Args:
            trainer: The trainer.
            session: The recipe at work on its model.
            view: What methods may ask for when the run begins.
            shipping: How its weights are shipped.
            facts: What a checkpoint must agree in to be resumed, by name.
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
        """The model that is trained, unwrapped, in the shape that it is trained in."""
        return self.session.model

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self._trainer.state.global_step

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self._trainer.state.max_steps

    @property
    def is_first(self) -> bool:
        """Whether this is the first process, which asks and speaks."""
        return self._trainer.args.process_index == 0

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self._trainer.args.device

    @property
    def output(self) -> Path:
        """The run's folder."""
        return Path(str(self._trainer.args.output_dir))

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer, as accelerate wrapped it, once training has begun."""
        optimizer = self._trainer.optimizer
        assert optimizer is not None
        return optimizer

    def add_state(self, name: str, own: checkpoint.Resumable) -> None:
        """Has checkpoints hold a state beside the methods', which begins and is resumed with them."""
        self._beside[name] = own

    def begin(self) -> None:
        """Makes the state of the recipe, or reads it back; called when the number of steps is known."""
        session = self.session
        if self.resume_from is not None:
            state, self._marks = checkpoint.load(self.output, self.resume_from, self._facts)
            for name, own in self._beside.items():
                own.resume(state.pop(name, {}))
            session.state = state
            return
        session.state = session.recipe.init_state(self._view.run(forward=session.forward, begins=True))
        for own in self._beside.values():
            own.resume({})
        self._marks = checkpoint.mark(session.state)
        if self._trainer.args.should_save:
            checkpoint.save_start(self.output, session.state)
            self._view.save_made()

    def save(self) -> None:
        """Writes into the checkpoint of this step what has changed since the start."""
        folder = self.output / f"checkpoint-{self.step}"
        state = self.session.state | {name: own.tensors() for name, own in self._beside.items()}
        checkpoint.save_changed(self.output, folder, state, self._marks, self._facts)

    def keep(self) -> rewind.Snapshot:
        """Returns the run as it is now, in host memory, to go back to."""
        return rewind.take_snapshot(self.model, self.optimizer, self.session.state, self._marks)

    def go_back(self, kept: rewind.Snapshot) -> None:
        """Puts the run back to where it was kept."""
        rewind.go_back(kept, self.model, self.optimizer, self.session.state, self._marks, self.output)

    def set_lr(self, factor: float) -> None:
        """Sets the learning rate of this step to so many times that at the start."""
        rates = []
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
            rates.append(group["lr"])
        # What the trainer logs; the scheduler computes it anew when it steps.
        self._trainer.lr_scheduler._last_lr = rates  # type: ignore[union-attr]

    def slow_down(self, factor: float) -> None:
        """Scales the learning rate from here on, whatever the schedule; checkpoints keep it with the optimizer.

        Schedules compute a rate from the one at the start, of which scheduler and optimizer each have a copy.
        """
        wrapped = self._trainer.lr_scheduler
        scheduler: Any = getattr(wrapped, "scheduler", wrapped)  # accelerate wraps it
        scheduler.base_lrs = [rate * factor for rate in scheduler.base_lrs]
        for group in self.optimizer.param_groups:
            group["initial_lr"] *= factor
            group["lr"] *= factor

    def set_hold(self, factor: float) -> None:
        """Sets the factor on all that the recipe adds to the loss, from the next micro-batch on."""
        self.session.hold = factor

    def note(self, numbers: Mapping[str, float]) -> None:
        """Puts numbers into the next line of the log."""
        self.session.notes.update(numbers)

    def as_shipped(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the weights are those that would be shipped if training ended now."""
        return self._shipping.as_shipped(self.session.state)

    def ship(self) -> None:
        """Applies what the recipe does to weights after training, and takes the model that is shipped."""
        model, self.shipped = self._shipping.ship(self.session.state)
        trainer = self._trainer
        if model is not trainer.model:
            trainer.model = trainer.model_wrapped = self.session.model = model

    def check_form(self) -> None:
        """Raises `HoldfastError` if the model was shipped in another form than it was trained in."""
        if self._shipping.model is not self._trainer.model or (self._shipping.has_moved and self.shipped):
            raise HoldfastError(
                "This trainer has shipped its model in another form than it was trained in; build a new trainer on it"
                " to train on."
            )
