"""The guard: asks the model now and then while a trainer trains, and acts when the budget is spent."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

import torch
from accelerate.utils import broadcast
from torch import Tensor
from transformers import TrainerCallback

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Mix
from holdfast.train import rewind
from holdfast.train.control import SLOWER, Look, Standing, standing
from holdfast.train.mixing import row_limit, tokenizer_of
from holdfast.train.panel import Panel, Score, learned, losses, panel_of

logger = logging.getLogger("holdfast")

UNITS = ("points", "nats")
WITHOUT_BASE_RATES = ("reduce_lr_on_plateau", "greedy")
"""Schedulers of the trainer that do not count from a rate at the start."""
WARM, MEASURED = 4, 16
"""Steps that are not timed, and the step up to which they are, before the pace of the looks is set."""


class Guard(TrainerCallback):
    """Looks every few steps at what is to be kept and what is learned, and acts when the budget is spent.

    What it knows is a list of looks, kept in the recipe's state and so in every checkpoint; where the run stands
    follows from them (`holdfast.train.control`). The first process asks and tells the others. It asks the model that
    would ship, with the recipe's edits applied. While training it never raises: an answer that is no number counts as
    a loss without bound, and a look that fails is left out and said.

    Attributes:
        seconds: Time that looking has taken, of this process, the first answers included.
    """

    def __init__(self, trainer: Any, budget: Budget) -> None:
        """Prepares what is asked; `trainer` is one that is being attached."""
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
        self.trainer = trainer
        self.budget = budget
        tokenizer, limit = tokenizer_of(trainer), row_limit(trainer)
        kept = panel_of(budget.keep, tokenizer, limit, "keep")
        self.kept = kept.only(budget.limits).thinned(budget.items)
        if not len(self.kept):
            raise HoldfastError(
                f"A budget of {budget} limits nothing that Budget(keep=...) measures ({', '.join(sorted(kept.units))}):"
                " limit items by points=2, texts by nll=0.02."
            )
        watched = Panel() if budget.learn is None else panel_of(budget.learn, tokenizer, limit, "learn")
        self.learn = watched.thinned(max(1, budget.items // 4))
        self.seconds = 0.0
        self.standing = Standing()
        self._marks: dict[int, float] = {}
        self._asked = 0.0
        self._said = False

    @property
    def _own(self) -> dict[str, Any]:
        own: dict[str, Any] = self.trainer.holdfast.state.setdefault("guard", {})
        return own

    @property
    def looks(self) -> list[Look]:
        """What was seen so far."""
        rows: list[list[float]] = self._own["looks"].tolist() if "looks" in self._own else []
        return [
            Look(int(step), {u: v for u, v in zip(UNITS, lost, strict=True) if not math.isnan(v)}, bool(beyond), known)
            for step, *lost, beyond, known in rows
        ]

    def check(self, recipe: Any, mix: Mix | None) -> None:
        """Refuses a leash that is not there, and says how many of the kept texts are also rehearsed."""
        adds = [part for part in recipe.methods if part.uses("token_loss") or part.uses("penalty")]
        if self.budget.on_spent == "hold" and not adds:
            raise HoldfastError(
                "Budget(on_spent='hold') raises the recipe's added terms, and it has none: add MaskTheTarget() or"
                " BaseKL(), or use on_spent='rewind'."
            )
        loose = [part for part in adds if not part.holds]
        if self.budget.on_spent == "hold" and loose:
            raise HoldfastError(
                f"Budget(on_spent='hold') raises the recipe's added terms, and that of {loose[0]!r} does not hold the"
                " model to the base; use on_spent='rewind'."
            )
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
            own["before"] = self._start()
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
            self._marks[state.global_step] = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Looks, when it is time, and acts on what it sees."""
        every = int(self._own["every"]) or self._pace(state)
        if state.global_step != state.max_steps and (not every or state.global_step % every):
            return
        row = self._look(state.global_step)
        if row is None:
            return
        self._own["looks"] = torch.cat([self._own["looks"], row[None]])
        self.standing = standing(self.looks, self.budget)
        self._note(self.looks[-1])
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
        """Puts the best learner inside the budget in the place of the trained weights; called when training ends."""
        if self.rewound:
            self._go_back()
            if self.trainer.args.process_index == 0:
                logger.warning("The model is that %s, the best learner seen inside the budget.", self._where())

    @property
    def rewound(self) -> bool:
        """Whether the model is to be an earlier one than that of the last look."""
        return self.budget.on_spent == "rewind" and bool(self.looks) and self.standing.best != len(self.looks) - 1

    def summary(self) -> dict[str, Any]:
        """Returns what the guard saw and did, ready for JSON; a loss that was no number is null."""
        looks, best = self.looks, self.standing.best
        spent = [look.step for i, look in enumerate(looks) if standing(looks[: i + 1], self.budget).spent]
        return {
            "on_spent": self.budget.on_spent,
            "spent_at": spent,
            "model_of": None if not self.rewound else 0 if best is None else looks[best].step,
            "hold": self.standing.hold,
            "every": int(self._own["every"]) or None,
            "asked": {"kept": len(self.kept), "learned": len(self.learn)},
            "seconds": self.seconds,
            "looks": [
                {"step": look.step}
                | {f"{unit}_lost": value if math.isfinite(value) else None for unit, value in look.lost.items()}
                | {"beyond": look.beyond}
                | ({} if math.isnan(look.learned) else {"learned": look.learned})
                for look in looks
            ],
        }

    def _start(self) -> Tensor:
        """Returns the answers of the model before training, those of what is kept, measured by every process."""
        started = time.monotonic()
        try:
            scores = self.kept.ask(self.trainer.holdfast.model)
        except HoldfastError as error:
            raise HoldfastError(f"Budget(keep=...), the model at the start: {error}") from error
        if not all(math.isfinite(score.value) for score in scores):
            raise HoldfastError("Budget(keep=...): what is kept has no number at the start; look at the model.")
        self.seconds += time.monotonic() - started
        # A look asks what is learned too, which is not asked here.
        self._asked = self.seconds * (len(self.kept) + len(self.learn)) / len(self.kept)
        return torch.tensor([score.value for score in scores], dtype=torch.float64)

    def _look(self, step: int) -> Tensor | None:
        """Returns a row of looks, made by the first process and told to the others; None if it failed."""
        started = time.monotonic()
        row = torch.full((len(UNITS) + 4,), math.nan, dtype=torch.float64)
        if self.trainer.args.process_index == 0:
            try:
                with self.trainer.as_shipped():
                    row = torch.tensor([1.0, step, *self._seen()], dtype=torch.float64)
            except Exception as error:  # whatever it is, it is not worth a training
                logger.warning("Step %d: the guard could not look (%s); training goes on.", step, error)
                row[0] = 0.0
        told: Tensor = broadcast(row.to(self.trainer.args.device)).cpu()
        self._asked = time.monotonic() - started
        self.seconds += self._asked
        return told[1:] if float(told[0]) else None

    def _seen(self) -> list[float]:
        """Returns what is lost in each unit, whether a suite is beyond for certain, and what is learned."""
        model = self.trainer.holdfast.model
        try:
            after = self.kept.ask(model)
        except HoldfastError:  # a likelihood that is not finite
            return [math.inf if unit in self.budget.limits else math.nan for unit in UNITS] + [1.0, math.nan]
        before = [
            Score(score.suite, score.group, value, score.tokens)
            for score, value in zip(after, self._own["before"].tolist(), strict=True)
        ]
        lost, beyond = losses(before, after, self.budget)
        known = learned(self.learn.ask(model)) if len(self.learn) else math.nan
        return [*(lost.get(unit, math.nan) for unit in UNITS), float(beyond), known]

    def _pace(self, state: Any) -> int:
        """Sets, after the first steps, how far apart looks are to be so that they take no more than their share."""
        if WARM not in self._marks or state.global_step < MEASURED:
            return 0
        step = (time.monotonic() - self._marks[WARM]) / (state.global_step - WARM)
        # Of the whole time, looks included; what was asked at the start is spent, and a look comes at the end.
        left = self.budget.share / (1 - self.budget.share) * step * state.max_steps - self.seconds
        looks = max(1, int(left / self._asked)) if self._asked else state.max_steps
        every = torch.tensor(math.ceil(state.max_steps / looks), dtype=torch.float64)
        every = broadcast(every.to(self.trainer.args.device)).cpu()
        self._own["every"] = every.to(torch.int64).clamp(min=1)
        paced = int(self._own["every"])
        if self.trainer.args.process_index == 0:
            when = f"every {paced} steps" if paced < state.max_steps else "at the end only"
            logger.info("The guard looks %s (a look takes as long as %.1f steps).", when, self._asked / step)
        return paced

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

    def _note(self, look: Look) -> None:
        """Leaves the numbers for the next line of the log."""
        notes = {"kept_points_change": -look.lost.get("points", math.nan)}
        notes |= {"kept_nll_change": look.lost.get("nats", math.nan), "learned": look.learned}
        notes |= {"budget_used": self.standing.smoothed}
        if self.budget.on_spent == "hold":
            notes["hold"] = self.standing.hold
        self.trainer.holdfast.notes.update({name: value for name, value in notes.items() if math.isfinite(value)})

    def _say(self, look: Look) -> None:
        """Says that the budget is spent and what is done; once only where nothing is."""
        if self.trainer.args.process_index != 0 or (self._said and self.budget.on_spent == "log"):
            return
        self._said = True
        lost = {"points": "{:.1f} points", "nats": "{:.3f} nats per token"}
        found = " and ".join(lost[unit].format(value) for unit, value in look.lost.items())
        back = f"back to the model {self._where()}"
        ends = {
            "stop": "training stops here",
            "rewind": back + (", where training ends" if self.standing.ended else " and on at half the learning rate"),
            "hold": f"the leash is raised to {self.standing.hold:g} times its strength",
            "log": "training goes on",
        }
        logger.warning(
            "Step %d: what is to be kept has lost %s, and the budget of %s is spent%s; %s.",
            look.step,
            found,
            self.budget,
            " (a suite is beyond it for certain)" if look.beyond else "",
            ends[self.budget.on_spent],
        )
