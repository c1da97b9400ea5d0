"""The guard: it asks the model during training and acts when the budget is spent."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import GOES_BACK, Guard
from holdfast.train.control import SLOWER, Look, Standing, standing
from holdfast.train.course import Course
from holdfast.train.guard_state import GuardState
from holdfast.train.guard_words import GuardReport, notes, spent, summary
from holdfast.train.host import Host
from holdfast.train.looks import Asking, rows_of
from holdfast.train.pulling import pull_back, remember_promising
from holdfast.train.questions import Questions
from holdfast.train.rewind import name_of
from holdfast.train.symptom_watch import alerts_at

logger = logging.getLogger("holdfast")


class GuardCallback(TrainerCallback):
    """Measures what the model has lost and learned every few steps, and acts when the budget is spent.

    The guard remembers a list of looks, which every checkpoint holds; `holdfast.train.control` computes from them
    where the run stands. The guard reaches the run through its `Host` alone. The first process asks the model and
    broadcasts the result. It asks the model that would ship, with the recipe's edits applied. The guard never raises
    during training: a score that is not finite counts as an infinite loss, and a look that fails is skipped with a
    warning.

    Attributes:
        asking: Asks the model.
        state: What the guard remembers of the run.
        standing: Where the run stands after the looks so far.
        course: Steers the run; None unless `on_spent="steer"`.
        flags: Whether messages name flags of the command line instead of Python arguments.
    """

    def __init__(self, host: Host, budget: Budget, guard: Guard, questions: Questions) -> None:
        """Takes the run, the budget, the guard's settings and the questions; asks nothing yet."""
        self.host = host
        self.budget = budget
        self.guard = guard
        self.questions = questions
        self.asking = Asking(host, budget, guard, questions)
        self.flags = False
        self.state = GuardState()
        host.add_state("guard", self.state)
        self.course = Course(host) if guard.on_spent == "steer" else None
        self.standing = Standing()
        self._has_warned = False

    @property
    def seconds(self) -> float:
        """Seconds that this process has spent on looks, the answers at the start included."""
        return self.asking.seconds

    @property
    def looks(self) -> list[Look]:
        """The looks so far."""
        return rows_of(self.state.looks)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Asks the model at the start, unless a checkpoint holds the answers."""
        memory = self.state
        if memory.asked is None:
            memory.before, memory.started, memory.said = self.asking.start()
            memory.every = self.guard.every or 0
            if self.guard.on_spent in GOES_BACK:
                self._remember()
            memory.asked = self.questions.fingerprint
        if memory.asked != self.questions.fingerprint:
            raise HoldfastError(
                "The guard of the checkpoint asked other questions than this one; resume with the same keep, items and"
                " budget."
            )
        self.standing = standing(self.looks, self.budget, self.guard.on_spent)
        self._obey()
        if self.course is not None:
            self.course.begin()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Records when a step begins, until the interval between looks is known."""
        if not self.state.every:
            self.asking.mark(state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Looks at the model every `every` steps and after the last one, and acts on the result."""
        if self.course is not None:
            self.course.step()
        row = self.asking.look(state.global_step, self.state.before) if self._is_due(state) else None
        if row is None:
            if self.course is not None:
                self.course.end_if_due()
            return
        self.state.looks = torch.cat([self.state.looks, row[None]])
        self._warn_of_symptoms(state.global_step)
        self.standing = standing(self.looks, self.budget, self.guard.on_spent)
        self.host.note(notes(self.looks[-1], self.guard.on_spent, self.standing))
        if self.guard.on_spent in GOES_BACK:
            if self.standing.best == len(self.looks) - 1:
                self._remember()
            remember_promising(self.host, self.state, self.looks, self.standing.best, self.budget)
        self._obey()
        if self.course is not None:
            self.course.look(self.looks[-1], self.standing)
            self.host.note(self.course.numbers())
        if self.standing.spent:
            self._warn(self.looks[-1])
            if self.guard.on_spent in GOES_BACK:
                self._go_back()
            if self.guard.on_spent == "rewind":
                self.host.slow_down(SLOWER)
        if self.standing.ended:
            control.should_training_stop = True
            control.should_save = args.save_strategy != "no"
            control.should_log = True

    def _is_due(self, state: TrainerState) -> bool:
        """Returns whether the guard looks after this step; sets the interval of the looks once it is known."""
        if not self.state.every:
            self.state.every = self.asking.pace()
        every = self.state.every
        return state.global_step == state.max_steps or bool(every and state.global_step % every == 0)

    def choose(self) -> None:
        """Restores the best learner inside the budget when training ends, where the guard goes back.

        If no look was inside, the model is pulled back towards the start until one is. Then it logs what the guard did;
        a run of the command line prints that in its report instead.
        """
        if self.rewound and self.standing.best is None:
            self.standing = pull_back(self.host, self.state, self.asking, self.budget, self.guard.on_spent)
        if self.rewound:
            self._go_back()
        if self.course is not None:
            self.course.close()
        report = self._report
        if self.host.is_first and not report.flags:
            logger.log(logging.WARNING if report.acted or report.failed else logging.INFO, "%s", report.sentence())

    @property
    def rewound(self) -> bool:
        """Whether the run ends with an earlier model than that of the last look."""
        return self._report.rewound

    def summary(self) -> dict[str, Any]:
        """Returns what the guard measured and did, ready for JSON; a loss that is not finite becomes null.

        `sentence` says what the guard did and what to try next. `model_of` is the step of the restored model (0: the
        start; None: the last model is kept), and `learned` holds the score of the task at the start, at its best and
        in that model.
        """
        about = {"every": self.state.every or None, "seconds": self.seconds}
        asked = {"kept": sum(map(len, self.questions.kept)), "learned": sum(map(len, self.questions.learn))}
        alerts = [dataclasses.asdict(alert) for alert in self.state.alerts]
        course = {"course": list(self.course.rows())} if self.course is not None else {}
        return summary(self._report) | about | {"asked": asked} | ({"alerts": alerts} if alerts else {}) | course

    @property
    def _report(self) -> GuardReport:
        host, state, failed = self.host, self.state, self.asking.failed
        held = "" if self.course is None else self.course.words()
        return GuardReport(
            self.looks, self.budget, self.guard.on_spent, host.step, host.steps, state.started, failed, self.flags, held
        )

    def _remember(self) -> None:
        """Takes a snapshot of the run; warns once if the optimizer holds state that a snapshot cannot."""
        self.state.best = self.host.keep()
        if self.state.best.optimizer is None and not self.state.anew:
            self.state.anew = True
            logger.warning(
                "%s holds state that the guard cannot copy: when the model goes back, the optimizer starts afresh.",
                name_of(self.host.optimizer),
            )

    def _go_back(self) -> None:
        assert self.state.best is not None  # on_train_begin takes a snapshot
        self.host.go_back(self.state.best)

    def _where(self) -> str:
        best = self.standing.best
        return "of the start" if best is None else f"of step {self.looks[best].step}"

    def _obey(self) -> None:
        if self.guard.on_spent == "hold":
            self.host.set_hold(self.standing.hold)

    def _warn_of_symptoms(self, step: int) -> None:
        """Warns of symptoms that this look is the first to show; only the process that asked knows them."""
        seen, memory = self.asking.seen, self.state
        if not seen.said:
            return
        values = zip(seen.scores, memory.before.tolist(), strict=True)
        before = [dataclasses.replace(score, value=value) for score, value in values], memory.said
        known = {alert.name for alert in memory.alerts}
        try:
            alerts = alerts_at(step, len(memory.looks), before, seen, known)
        except Exception as error:  # no error of a look is worth losing a training run
            logger.warning("Step %d: the guard could not test symptoms (%s); training continues.", step, error)
            return
        memory.alerts += alerts
        for alert in alerts:
            logger.warning("%s", alert.words())

    def _warn(self, look: Look) -> None:
        """Warns that the budget is spent and what the guard does; only once if it does nothing."""
        if not self.host.is_first or (self._has_warned and self.guard.on_spent == "log"):
            return
        self._has_warned = True
        logger.warning("%s", spent(look, self.budget, self.guard.on_spent, self.standing, self._where()))
