"""The looks of a guard: they ask the model, compute the loss, and measure the time this takes."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import Iterable, Sequence

import torch
from accelerate.utils import broadcast
from torch import Tensor

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import Guard
from holdfast.core.params import trainable
from holdfast.probes.changes import SuiteChange, changes_of, mean_of
from holdfast.probes.score import Answers, Said, Score, in_unit, level
from holdfast.probes.suite import Suite
from holdfast.stats.flips import Flips
from holdfast.stats.verdict import holm
from holdfast.train.control import Look
from holdfast.train.host import Host
from holdfast.train.questions import Questions

logger = logging.getLogger("holdfast")

UNITS = ("points", "nats")
COLUMNS = len(UNITS) + 4
"""Columns of a look."""
WARM, MEASURED = 4, 16
"""Steps of warm-up that are not timed, and the step at which the timing ends and sets the interval of the looks."""
CERTAIN = 0.05
"""Below this p-value, adjusted for the number of suites, a suite certainly exceeds the budget."""


def lost_by(pairs: Iterable[tuple[Score, Score]], budget: Budget) -> tuple[dict[str, float], bool]:
    """Returns the loss by unit that counts under a budget, and whether a suite certainly exceeds its limit.

    The verdict computes the change of a suite and the mean of suites with the same functions
    (`holdfast.probes.changes`). With the claim "mean" the loss is the mean over suites. With "every" it is the loss of
    the worst suite less a standard error, so that noise does not make a suite of few items the worst. Only suites in
    points are tested one by one.

    Args:
        pairs: The scores of the same items before and after.
        budget: What may be lost.
    """
    by_unit: dict[str, list[SuiteChange]] = {}
    for change in changes_of(pairs):
        if change.unit in budget.limits:
            by_unit.setdefault(change.unit, []).append(change)
    lost = {
        unit: max(change.lost - _error(change) for change in suites)
        if budget.claim == "every"
        else mean_of(suites).lost
        for unit, suites in by_unit.items()
    }
    p_values = [change.judged(budget.limits["points"]).p_forgot for change in by_unit.get("points", [])]
    return lost, any(p < CERTAIN for p in holm(p_values))


def _error(change: SuiteChange) -> float:
    """Returns the standard error of a suite's change in points; 0 for other changes, whose items are few and large."""
    flips = change.evidence
    return in_unit(math.sqrt(flips.lost + flips.gained) / flips.items) if isinstance(flips, Flips) else 0.0


class Asking:
    """Asks the model of a run, as it would ship, about the kept suites and the task.

    Attributes:
        seconds: Seconds that this process has spent on looks, the answers at the start included.
        failed: Number of looks that failed in this process.
        seen: Scores and answers of the last look, on the process that asked; empty if they are not finite.
    """

    def __init__(self, host: Host, budget: Budget, guard: Guard, questions: Questions) -> None:
        """Takes the run and the questions; asks nothing yet."""
        self.host = host
        self.budget = budget
        self.guard = guard
        self.questions = questions
        self.seconds = 0.0
        self.failed = 0
        self.seen = Answers()
        self._marks: dict[int, float] = {}
        self._asked = 0.0

    def start(self) -> tuple[Tensor, float, tuple[Said, ...]]:
        """Returns the scores of the kept suites before training, `[scores]` float64, that of the task, and the answers.

        Every process measures them itself. The score of the task is NaN if nothing measures it.

        Raises:
            HoldfastError: A suite cannot be asked, or a likelihood is not finite.
        """
        started = time.monotonic()
        name = "keep"
        try:
            kept = self._asked_of(self.questions.kept)
            name = "learn"
            known = level(self._asked_of(self.questions.learn).scores)
        except HoldfastError as error:
            raise HoldfastError(f"attach({name}=...), the model at the start: {error}") from error
        self.seconds += time.monotonic() - started
        self._asked = self.seconds
        values = [score.value for score in kept.scores]
        return torch.tensor(values, dtype=torch.float64), known, tuple(kept.said)

    def look(self, step: int, before: Tensor, share: float = 1.0) -> Tensor | None:
        """Returns a look as a row `[6]`, float64, which the first process broadcasts; None if the look failed.

        The columns are the step, the loss in points, the loss in nats, whether a suite certainly exceeds the budget
        (0 or 1), the score of the task, and the share of the change. What is not measured is NaN.

        Args:
            step: Optimizer steps done.
            before: The scores at the start, `[scores]`.
            share: Share of the change of the weights that the model has, if the guard has pulled it back.
        """
        started = time.monotonic()
        row = torch.full((1 + COLUMNS,), math.nan, dtype=torch.float64)
        if self.host.is_first:
            try:
                with self.host.as_shipped():
                    row = torch.tensor([1.0, step, *self._seen(before), share], dtype=torch.float64)
            except Exception as error:  # no error of a look is worth losing a training run
                logger.warning("Step %d: the guard could not look (%s); training continues.", step, error)
                row[0] = 0.0
        sent: Tensor = broadcast(row.to(self.host.device)).cpu()
        self._asked = time.monotonic() - started
        self.seconds += self._asked
        self.failed += not float(sent[0])
        return sent[1:] if float(sent[0]) else None

    def _seen(self, before: Tensor) -> list[float]:
        """Returns the columns of a look but the step.

        If a weight or a likelihood of the model is not finite, the loss is infinite.
        """
        self.seen, after = Answers(), list[Score]()
        with contextlib.suppress(HoldfastError):  # raised for a likelihood that is not finite
            if all(bool(torch.isfinite(p).all()) for p in trainable(self.host.model).values()):
                self.seen = self._asked_of(self.questions.kept)
                after = list(self.seen.scores)
        if not after:
            return [math.inf if unit in self.budget.limits else math.nan for unit in UNITS] + [1.0, math.nan]
        values = zip(after, before.tolist(), strict=True)
        lost, beyond = lost_by(((dataclasses.replace(now, value=first), now) for now, first in values), self.budget)
        known = math.nan
        with contextlib.suppress(HoldfastError):  # raised for a likelihood that is not finite
            known = level(self._asked_of(self.questions.learn).scores)
        return [*(lost.get(unit, math.nan) for unit in UNITS), float(beyond), known]

    def _asked_of(self, suites: Sequence[Suite]) -> Answers:
        """Returns the scores and answers of the run's model to `suites`, always in the same order."""
        answers = self.questions.answers(self.host.model, suites)
        return Answers([s for of in answers for s in of.scores], [s for of in answers for s in of.said])

    def mark(self, step: int) -> None:
        """Records the time at which a step begins, for `pace`."""
        self._marks[step] = time.monotonic()

    def pace(self) -> int:
        """Returns the number of steps between two looks at which they take at most their share of the time.

        The number is the same on every process; it is 0 until the first steps are timed.
        """
        done, steps = self.host.step, self.host.steps
        if WARM not in self._marks or done < MEASURED:
            return 0
        step = (time.monotonic() - self._marks[WARM]) / (done - WARM)
        # The share is one of the whole time, looks included. The answers at the start have used a part of it already.
        left = self.guard.share / (1 - self.guard.share) * step * steps - self.seconds
        looks = max(1, int(left / self._asked)) if self._asked else steps
        every = torch.tensor(math.ceil(steps / looks), dtype=torch.float64)
        paced = max(1, int(broadcast(every.to(self.host.device))))
        if self.host.is_first:
            when = f"every {paced} steps" if paced < steps else "at the end only"
            logger.info("The guard looks %s (a look takes as long as %.1f steps).", when, self._asked / step)
        return paced


def rows_of(looks: Tensor) -> list[Look]:
    """Returns the looks in rows of `Asking.look`, `[looks, 6]`."""
    rows: list[list[float]] = looks.tolist()
    return [
        Look(
            int(step), {u: v for u, v in zip(UNITS, lost, strict=True) if not math.isnan(v)}, bool(beyond), known, share
        )
        for step, *lost, beyond, known, share in rows
    ]
