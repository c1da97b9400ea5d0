"""Asks the model what a guard watches, at the start and at every look, and measures how long that takes."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import time

import torch
from accelerate.utils import broadcast
from torch import Tensor

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Mix
from holdfast.core.params import trainable
from holdfast.probes.watched import Thing, Watched
from holdfast.train.control import Look
from holdfast.train.host import Host
from holdfast.train.mixing import row_limit, tokenizer_of
from holdfast.train.panel import Panel, Score, learned, losses, panel_of
from holdfast.train.trainers import HostTrainer

logger = logging.getLogger("holdfast")

UNITS = ("points", "nats")
WARM, MEASURED = 4, 16
"""Steps that are not timed, and the step up to which they are, before the pace of the looks is set."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a guard is to ask, found before anything of the trainer is changed.

    Attributes:
        kept: What is to be kept.
        learn: What measures the learning; may be empty.
        apart: What else of the given suites is on the watched side, and is kept out of the verdict.
    """

    kept: Panel
    learn: Panel
    apart: tuple[Panel, ...] = ()

    @classmethod
    def of(cls, trainer: HostTrainer, budget: Budget) -> Asked:
        """Returns what a budget asks of a trainer's model.

        Raises:
            HoldfastError: Nothing of what is given can be asked, or nothing of it is limited.
        """
        tokenizer, limit = tokenizer_of(trainer), row_limit(trainer)
        given = panel_of(budget.keep, tokenizer, limit, "keep")
        kept = given.only(budget.limits).thinned(budget.items)
        if not len(kept):
            raise HoldfastError(
                f"A budget of {budget} limits nothing that Budget(keep=...) measures"
                f" ({', '.join(sorted(given.units))}): limit items by points=2, texts by nll=0.02."
            )
        shown = Panel() if budget.learn is None else panel_of(budget.learn, tokenizer, limit, "learn")
        # A run parts its suites itself, and keeps all of the watched side out of its verdict.
        apart = (given, shown) if isinstance(budget.keep, Panel) else ()
        return cls(kept, shown.thinned(max(1, budget.items // 4)), apart)

    @property
    def watched(self) -> Watched:
        """Returns the record of what steers the run."""
        asked = [*self.kept.things("keep"), *self.learn.things("learn")]
        names = {(thing.suite, thing.id, thing.digests) for thing in asked}
        apart: list[Thing] = [thing for part in self.apart for thing in part.things("apart")]
        return Watched((*asked, *(t for t in apart if (t.suite, t.id, t.digests) not in names)))

    def warn_of(self, mix: Mix | None) -> None:
        """Says how many of the kept texts are also rehearsed."""
        rehearsed = {tuple(example.input_ids) for example in (mix.examples if mix is not None else ())}
        both = sum(tuple(example.input_ids) in rehearsed for example in self.kept.examples)
        if both:
            logger.warning(
                "%d of %d kept texts are trained on as well: the budget will look better kept than it is.",
                both,
                len(self.kept.examples),
            )


class Asking:
    """Asks a run's model, as it would be shipped, what is to be kept and what is to be learned.

    Attributes:
        seconds: Time that asking has taken, of this process, the first answers included.
        failed: How many looks failed, in this process.
    """

    def __init__(self, host: Host, budget: Budget, asked: Asked) -> None:
        """Takes what is asked; nothing is asked yet."""
        self.host = host
        self.budget = budget
        self.kept = asked.kept
        self.learn = asked.learn
        self.seconds = 0.0
        self.failed = 0
        self._marks: dict[int, float] = {}
        self._asked = 0.0

    def start(self) -> tuple[Tensor, float]:
        """Returns the answers of the model before training, those of what is kept, and what it knows of the task.

        Every process measures them by itself. The second is NaN where nothing shows what is learned.
        """
        started = time.monotonic()
        model, name = self.host.model, "keep"
        try:
            scores = self.kept.ask(model)
            name = "learn"
            known = learned(self.learn.ask(model)) if len(self.learn) else math.nan
        except HoldfastError as error:
            raise HoldfastError(f"Budget({name}=...), the model at the start: {error}") from error
        if not all(math.isfinite(score.value) for score in scores):
            raise HoldfastError("Budget(keep=...): what is kept has no number at the start; look at the model.")
        self.seconds += time.monotonic() - started
        self._asked = self.seconds
        values = [score.value for score in scores]
        return torch.tensor(values, dtype=torch.float64), known

    def look(self, step: int, before: Tensor) -> Tensor | None:
        """Returns a row of looks, made by the first process and told to the others; None if it failed.

        Args:
            step: Optimizer steps done.
            before: The answers at the start.
        """
        started = time.monotonic()
        row = torch.full((len(UNITS) + 4,), math.nan, dtype=torch.float64)
        if self.host.is_first:
            try:
                with self.host.as_shipped():
                    row = torch.tensor([1.0, step, *self._seen(before)], dtype=torch.float64)
            except Exception as error:  # whatever it is, it is not worth a training
                logger.warning("Step %d: the guard could not look (%s); training goes on.", step, error)
                row[0] = 0.0
        told: Tensor = broadcast(row.to(self.host.device)).cpu()
        self._asked = time.monotonic() - started
        self.seconds += self._asked
        self.failed += not float(told[0])
        return told[1:] if float(told[0]) else None

    def _seen(self, before: Tensor) -> list[float]:
        """Returns what is lost in each unit, whether a suite is beyond for certain, and what is learned.

        Where the model or its answers are no numbers, the loss is without bound.
        """
        model = self.host.model
        after: list[Score] = []
        with contextlib.suppress(HoldfastError):  # a likelihood that is not finite
            if all(bool(torch.isfinite(p).all()) for p in trainable(model).values()):
                after = self.kept.ask(model)
        if not after or not all(math.isfinite(score.value) for score in after):
            return [math.inf if unit in self.budget.limits else math.nan for unit in UNITS] + [1.0, math.nan]
        then = [
            Score(score.suite, score.group, value, score.tokens)
            for score, value in zip(after, before.tolist(), strict=True)
        ]
        lost, beyond = losses(then, after, self.budget)
        known = math.nan
        with contextlib.suppress(HoldfastError):  # its likelihood is not finite
            known = learned(self.learn.ask(model)) if len(self.learn) else math.nan
        return [*(lost.get(unit, math.nan) for unit in UNITS), float(beyond), known]

    def mark(self, step: int) -> None:
        """Notes when a step begins, for the pace."""
        self._marks[step] = time.monotonic()

    def pace(self) -> int:
        """Returns, after the first steps, how far apart looks are to be so that they take no more than their share.

        It is the same on every process; 0 as long as it is not known.
        """
        done, steps = self.host.step, self.host.steps
        if WARM not in self._marks or done < MEASURED:
            return 0
        step = (time.monotonic() - self._marks[WARM]) / (done - WARM)
        # Of the whole time, looks included; what was asked at the start is spent, and a look comes at the end.
        left = self.budget.share / (1 - self.budget.share) * step * steps - self.seconds
        looks = max(1, int(left / self._asked)) if self._asked else steps
        every = torch.tensor(math.ceil(steps / looks), dtype=torch.float64)
        paced = max(1, int(broadcast(every.to(self.host.device))))
        if self.host.is_first:
            when = f"every {paced} steps" if paced < steps else "at the end only"
            logger.info("The guard looks %s (a look takes as long as %.1f steps).", when, self._asked / step)
        return paced


def rows_of(looks: Tensor) -> list[Look]:
    """Returns the looks that rows of `Asking.look` hold, `[looks, 5]`."""
    rows: list[list[float]] = looks.tolist()
    return [
        Look(int(step), {u: v for u, v in zip(UNITS, lost, strict=True) if not math.isnan(v)}, bool(beyond), known)
        for step, *lost, beyond, known in rows
    ]
