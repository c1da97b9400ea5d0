"""The guard: asks the model now and then while a trainer trains, and acts when the budget is spent."""

from __future__ import annotations

import logging
import math
from typing import Any

import torch
from transformers import TrainerCallback

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Mix
from holdfast.probes.watched import Thing, Watched
from holdfast.train import rewind
from holdfast.train.asking import UNITS, Asking, rows_of
from holdfast.train.control import SLOWER, Look, Standing, standing
from holdfast.train.mixing import row_limit, tokenizer_of
from holdfast.train.panel import Panel, panel_of
from holdfast.train.telling import Told, notes, spent, summary

logger = logging.getLogger("holdfast")

WITHOUT_BASE_RATES = ("reduce_lr_on_plateau", "greedy")
"""Schedulers of the trainer that do not count from a rate at the start."""


class Guard(TrainerCallback):
    """Looks every few steps at what is to be kept and what is learned, and acts when the budget is spent.

    What it knows is a list of looks, kept in the recipe's state and so in every checkpoint; where the run stands
    follows from them (`holdfast.train.control`). The first process asks and tells the others. It asks the model that
    would ship, with the recipe's edits applied. While training it never raises: an answer that is no number counts as
    a loss without bound, and a look that fails is left out and said.

    Attributes:
        asking: What asks the model.
        standing: Where the run stands after the looks so far.
    """

    def __init__(self, trainer: Any, budget: Budget) -> None:
        """Prepares what is asked; `trainer` is one that is being attached."""
        _refuse(trainer, budget)
        self.trainer = trainer
        self.budget = budget
        tokenizer, limit = tokenizer_of(trainer), row_limit(trainer)
        given = panel_of(budget.keep, tokenizer, limit, "keep")
        kept = given.only(budget.limits).thinned(budget.items)
        if not len(kept):
            raise HoldfastError(
                f"A budget of {budget} limits nothing that Budget(keep=...) measures"
                f" ({', '.join(sorted(given.units))}): limit items by points=2, texts by nll=0.02."
            )
        shown = Panel() if budget.learn is None else panel_of(budget.learn, tokenizer, limit, "learn")
        self.asking = Asking(trainer, budget, kept, shown.thinned(max(1, budget.items // 4)))
        # A run parts its suites itself, and keeps all of the watched side out of its verdict.
        self._apart = [part for part in (given, shown) if isinstance(budget.keep, Panel)]
        self.standing = Standing()
        self._said = False

    @property
    def kept(self) -> Panel:
        """What is asked of what is to be kept."""
        return self.asking.kept

    @property
    def learn(self) -> Panel:
        """What is asked of what is learned."""
        return self.asking.learn

    @property
    def seconds(self) -> float:
        """Time that looking has taken, of this process, the first answers included."""
        return self.asking.seconds

    @property
    def watched(self) -> Watched:
        """Returns the record of what steers the run."""
        asked = [*self.kept.things("keep"), *self.learn.things("learn")]
        names = {(thing.suite, thing.id, thing.digests) for thing in asked}
        apart: list[Thing] = [thing for part in self._apart for thing in part.things("apart")]
        return Watched((*asked, *(t for t in apart if (t.suite, t.id, t.digests) not in names)))

    @property
    def _own(self) -> dict[str, Any]:
        own: dict[str, Any] = self.trainer.holdfast.state.setdefault("guard", {})
        return own

    @property
    def looks(self) -> list[Look]:
        """What was seen so far."""
        return rows_of(self._own["looks"]) if "looks" in self._own else []

    def check(self, recipe: Any, mix: Mix | None) -> None:
        """Refuses a leash that is not there, and says how many of the kept texts are also rehearsed."""
        _check_leash(self.budget, recipe)
        rehearsed = {tuple(example.input_ids) for example in (mix.examples if mix is not None else ())}
        both = sum(tuple(example.input_ids) in rehearsed for example in self.kept.examples)
        if both:
            logger.warning(
                "%d of %d kept texts are trained on as well: the budget will look better kept than it is.",
                both,
                len(self.kept.examples),
            )

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Asks the model at the start, unless a checkpoint has its answers."""
        own = self._own
        if "before" not in own:
            own["before"], own["started"] = self.asking.start()
            own["looks"] = torch.zeros(0, len(UNITS) + 3, dtype=torch.float64)
            own["every"] = torch.tensor(self.budget.every or 0)
            if self.budget.on_spent == "rewind":
                self._remember()
            own["asked"] = torch.tensor(self.kept.fingerprint)
        if int(own["asked"]) != self.kept.fingerprint:
            raise HoldfastError(
                "The checkpoint's guard asked other things than this one; resume with the same keep, items and budget."
            )
        self.standing = standing(self.looks, self.budget)
        self._obey()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Notes the time of the steps by which the pace is set."""
        if not int(self._own["every"]):
            self.asking.mark(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Looks, when it is time, and acts on what it sees."""
        every = int(self._own["every"])
        if not every and (every := self.asking.pace(state)):
            self._own["every"] = torch.tensor(every)
        if state.global_step != state.max_steps and (not every or state.global_step % every):
            return
        row = self.asking.look(state.global_step, self._own["before"])
        if row is None:
            return
        self._own["looks"] = torch.cat([self._own["looks"], row[None]])
        self.standing = standing(self.looks, self.budget)
        self.trainer.holdfast.notes.update(notes(self.looks[-1], self.budget, self.standing))
        if self.budget.on_spent == "rewind" and self.standing.best == len(self.looks) - 1:
            self._remember()
        self._obey()
        if self.standing.spent:
            self._say(self.looks[-1])
            if self.budget.on_spent == "rewind":
                self._go_back()
                self.trainer.slow_down(SLOWER)
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
        if self.trainer.args.process_index == 0 and not told.flags:
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
        about = {"every": int(self._own["every"]) or None, "seconds": self.seconds}
        return summary(self._told) | about | {"asked": {"kept": len(self.kept), "learned": len(self.learn)}}

    @property
    def _told(self) -> Told:
        state, started = self.trainer.state, float(self._own.get("started", math.nan))
        flags = isinstance(self.budget.keep, Panel)  # of `holdfast train`
        return Told(self.looks, self.budget, state.global_step, state.max_steps, started, self.asking.failed, flags)

    def _remember(self) -> None:
        rewind.keep(self._own, self.trainer)

    def _go_back(self) -> None:
        rewind.go_back(self._own, self.trainer)

    def _where(self) -> str:
        best = self.standing.best
        return "of the start" if best is None else f"of step {self.looks[best].step}"

    def _obey(self) -> None:
        if self.budget.on_spent == "hold":
            self.trainer.holdfast.hold = self.standing.hold

    def _say(self, look: Look) -> None:
        """Says that the budget is spent and what is done; once only where nothing is."""
        if self.trainer.args.process_index != 0 or (self._said and self.budget.on_spent == "log"):
            return
        self._said = True
        logger.warning("%s", spent(look, self.budget, self.standing, self._where()))


def _refuse(trainer: Any, budget: Budget) -> None:
    """Raises `HoldfastError` for a guard that has nothing to watch, or that another chooser of the model thwarts."""
    if budget.keep is None:
        raise HoldfastError("A guard needs something to watch: give Budget(keep='questions.jsonl').")
    if budget.on_spent == "rewind" and trainer.args.load_best_model_at_end:
        raise HoldfastError(
            "load_best_model_at_end and Budget(on_spent='rewind') both choose the model; set the first to False."
        )
    if budget.on_spent == "rewind" and trainer.args.lr_scheduler_type in WITHOUT_BASE_RATES:
        raise HoldfastError(
            "Budget(on_spent='rewind') halves the learning rate, which a reduce_lr_on_plateau scheduler keeps to"
            " itself; take another lr_scheduler_type."
        )


def _check_leash(budget: Budget, recipe: Any) -> None:
    """Raises `HoldfastError` if a leash is to be raised that the recipe has not."""
    adds = [part for part in recipe.methods if part.uses("token_loss") or part.uses("penalty")]
    if budget.on_spent == "hold" and not adds:
        raise HoldfastError(
            "Budget(on_spent='hold') raises the recipe's added terms, and it has none: add MaskTheTarget() or"
            " BaseKL(), or use on_spent='rewind'."
        )
    loose = [part for part in adds if not part.holds]
    if budget.on_spent == "hold" and loose:
        raise HoldfastError(
            f"Budget(on_spent='hold') raises the recipe's added terms, and that of {loose[0]!r} does not hold the"
            " model to the base; use on_spent='rewind'."
        )
