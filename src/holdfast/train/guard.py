"""The guard: asks the model now and then while a trainer trains, and acts when the budget is spent."""

from __future__ import annotations

import logging
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import Guard
from holdfast.train.control import SLOWER, Look, Standing, standing
from holdfast.train.guard_state import GuardState
from holdfast.train.guard_words import GuardReport, notes, spent, summary
from holdfast.train.host import Host
from holdfast.train.looks import Asking, rows_of
from holdfast.train.questions import Questions
from holdfast.train.rewind import name_of

logger = logging.getLogger("holdfast")


class GuardCallback(TrainerCallback):
    """Looks every few steps at what is to be kept and what is learned, and acts when the budget is spent.

    What it knows is a list of looks, kept in a state of its own and so in every checkpoint; where the run stands
    follows from them (`holdfast.train.control`). It reaches the run through its `Host` alone. The first process asks
    and tells the others. It asks the model that would ship, with the recipe's edits applied. While training it never
    raises: a score that is not finite counts as an infinite loss, and it skips a look that fails, with a warning.

    Attributes:
        asking: What asks the model.
        state: What it remembers of the run.
        standing: Where the run stands after the looks so far.
        flags: Whether the reader of its messages uses the command line, and not Python.
    """

    def __init__(self, host: Host, budget: Budget, guard: Guard, questions: Questions) -> None:
        """Takes the run, what may be lost, how it is watched, and what is asked; nothing is asked yet."""
        self.host = host
        self.budget = budget
        self.guard = guard
        self.questions = questions
        self.asking = Asking(host, budget, guard, questions)
        self.flags = False
        self.state = GuardState()
        host.add_state("guard", self.state)
        self.standing = Standing()
        self._said = False

    @property
    def seconds(self) -> float:
        """Time that looking has taken, of this process, the first answers included."""
        return self.asking.seconds

    @property
    def looks(self) -> list[Look]:
        """What was seen so far."""
        return rows_of(self.state.looks)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Asks the model at the start, unless a checkpoint has its answers."""
        own = self.state
        if own.asked is None:
            own.before, own.started = self.asking.start()
            own.every = self.guard.every or 0
            if self.guard.on_spent == "rewind":
                self._remember()
            own.asked = self.questions.fingerprint
        if own.asked != self.questions.fingerprint:
            raise HoldfastError(
                "The checkpoint's guard asked other things than this one; resume with the same keep, items and budget."
            )
        self.standing = standing(self.looks, self.budget, self.guard.on_spent)
        self._obey()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Notes the time of the steps by which the pace is set."""
        if not self.state.every:
            self.asking.mark(state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Looks, when it is time, and acts on what it sees."""
        if not self.state.every:
            self.state.every = self.asking.pace()
        every = self.state.every
        if state.global_step != state.max_steps and (not every or state.global_step % every):
            return
        row = self.asking.look(state.global_step, self.state.before)
        if row is None:
            return
        self.state.looks = torch.cat([self.state.looks, row[None]])
        self.standing = standing(self.looks, self.budget, self.guard.on_spent)
        self.host.note(notes(self.looks[-1], self.guard.on_spent, self.standing))
        if self.guard.on_spent == "rewind" and self.standing.best == len(self.looks) - 1:
            self._remember()
        self._obey()
        if self.standing.spent:
            self._say(self.looks[-1])
            if self.guard.on_spent == "rewind":
                self._go_back()
                self.host.slow_down(SLOWER)
        if self.standing.ended:
            control.should_training_stop = True
            control.should_save = args.save_strategy != "no"
            control.should_log = True

    def choose(self) -> None:
        """Puts the best learner inside the budget in the place of the trained weights; called when training ends.

        Then it says what it did; a run of the command line says so in its report.
        """
        if self.rewound:
            self._go_back()
        told = self._told
        if self.host.is_first and not told.flags:
            logger.log(logging.WARNING if told.acted or told.failed else logging.INFO, "%s", told.sentence())

    @property
    def rewound(self) -> bool:
        """Whether the model is to be an earlier one than that of the last look."""
        return self._told.rewound

    def summary(self) -> dict[str, Any]:
        """Returns what the guard saw and did, ready for JSON; a loss that was no number is null.

        `sentence` says what it did and what to try next; `model_of` is the step of the earlier model that is taken (0:
        that of the start; None: the last), `learned` how much of what was learned is in it.
        """
        about = {"every": self.state.every or None, "seconds": self.seconds}
        asked = {"kept": sum(map(len, self.questions.kept)), "learned": sum(map(len, self.questions.learn))}
        return summary(self._told) | about | {"asked": asked}

    @property
    def _told(self) -> GuardReport:
        host, state, failed = self.host, self.state, self.asking.failed
        return GuardReport(
            self.looks, self.budget, self.guard.on_spent, host.step, host.steps, state.started, failed, self.flags
        )

    def _remember(self) -> None:
        """Keeps the run as it is now; says, once, where the optimizer keeps what cannot be kept."""
        self.state.best = self.host.keep()
        if self.state.best.optimizer is None and not self.state.anew:
            self.state.anew = True
            logger.warning(
                "%s keeps what the guard cannot: where the model goes back, the optimizer begins anew.",
                name_of(self.host.optimizer),
            )

    def _go_back(self) -> None:
        assert self.state.best is not None  # kept at the start
        self.host.go_back(self.state.best)

    def _where(self) -> str:
        best = self.standing.best
        return "of the start" if best is None else f"of step {self.looks[best].step}"

    def _obey(self) -> None:
        if self.guard.on_spent == "hold":
            self.host.set_hold(self.standing.hold)

    def _say(self, look: Look) -> None:
        """Says that the budget is spent and what is done; once only where nothing is."""
        if not self.host.is_first or (self._said and self.guard.on_spent == "log"):
            return
        self._said = True
        logger.warning("%s", spent(look, self.budget, self.guard.on_spent, self.standing, self._where()))
