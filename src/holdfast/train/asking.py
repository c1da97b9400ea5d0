"""Asks the model what a guard watches, at the start and at every look, and measures how long that takes."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from typing import Any

import torch
from accelerate.utils import broadcast
from torch import Tensor

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.params import trainable
from holdfast.train.control import Look
from holdfast.train.panel import Panel, Score, learned, losses

logger = logging.getLogger("holdfast")

UNITS = ("points", "nats")
WARM, MEASURED = 4, 16
"""Steps that are not timed, and the step up to which they are, before the pace of the looks is set."""


class Asking:
    """Asks a trainer's model, as it would be shipped, what is to be kept and what is to be learned.

    Attributes:
        kept: What is to be kept.
        learn: What measures the learning; may be empty.
        seconds: Time that asking has taken, of this process, the first answers included.
        failed: How many looks failed, in this process.
    """

    def __init__(self, trainer: Any, budget: Budget, kept: Panel, learn: Panel) -> None:
        """Takes what is asked; nothing is asked yet."""
        self.trainer = trainer
        self.budget = budget
        self.kept = kept
        self.learn = learn
        self.seconds = 0.0
        self.failed = 0
        self._marks: dict[int, float] = {}
        self._asked = 0.0

    def start(self) -> tuple[Tensor, Tensor]:
        """Returns the answers of the model before training, those of what is kept, and what it knows of the task.

        Every process measures them by itself. The second is NaN where nothing shows what is learned.
        """
        started = time.monotonic()
        model, name = self.trainer.holdfast.model, "keep"
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
        return torch.tensor(values, dtype=torch.float64), torch.tensor(known, dtype=torch.float64)

    def look(self, step: int, before: Tensor) -> Tensor | None:
        """Returns a row of looks, made by the first process and told to the others; None if it failed.

        Args:
            step: Optimizer steps done.
            before: The answers at the start.
        """
        started = time.monotonic()
        row = torch.full((len(UNITS) + 4,), math.nan, dtype=torch.float64)
        if self.trainer.args.process_index == 0:
            try:
                with self.trainer.as_shipped():
                    row = torch.tensor([1.0, step, *self._seen(before)], dtype=torch.float64)
            except Exception as error:  # whatever it is, it is not worth a training
                logger.warning("Step %d: the guard could not look (%s); training goes on.", step, error)
                row[0] = 0.0
        told: Tensor = broadcast(row.to(self.trainer.args.device)).cpu()
        self._asked = time.monotonic() - started
        self.seconds += self._asked
        self.failed += not float(told[0])
        return told[1:] if float(told[0]) else None

    def _seen(self, before: Tensor) -> list[float]:
        """Returns what is lost in each unit, whether a suite is beyond for certain, and what is learned.

        Where the model or its answers are no numbers, the loss is without bound.
        """
        model = self.trainer.holdfast.model
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

    def pace(self, state: Any) -> int:
        """Returns, after the first steps, how far apart looks are to be so that they take no more than their share.

        It is the same on every process; 0 as long as it is not known.
        """
        if WARM not in self._marks or state.global_step < MEASURED:
            return 0
        step = (time.monotonic() - self._marks[WARM]) / (state.global_step - WARM)
        # Of the whole time, looks included; what was asked at the start is spent, and a look comes at the end.
        left = self.budget.share / (1 - self.budget.share) * step * state.max_steps - self.seconds
        looks = max(1, int(left / self._asked)) if self._asked else state.max_steps
        every = torch.tensor(math.ceil(state.max_steps / looks), dtype=torch.float64)
        paced = max(1, int(broadcast(every.to(self.trainer.args.device))))
        if self.trainer.args.process_index == 0:
            when = f"every {paced} steps" if paced < state.max_steps else "at the end only"
            logger.info("The guard looks %s (a look takes as long as %.1f steps).", when, self._asked / step)
        return paced


def rows_of(looks: Tensor) -> list[Look]:
    """Returns the looks that rows of `Asking.look` hold, `[looks, 5]`."""
    rows: list[list[float]] = looks.tolist()
    return [
        Look(int(step), {u: v for u, v in zip(UNITS, lost, strict=True) if not math.isnan(v)}, bool(beyond), known)
        for step, *lost, beyond, known in rows
    ]
