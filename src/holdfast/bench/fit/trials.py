"""A trial: a candidate trains for a share of its steps, and validation items say what it learned and lost.

A trial is an ordinary run in its own folder. One with all steps is the run that `holdfast train` would make, with its
verdict on test items; a shorter one asks validation items alone, and its guard ends it if the budget is spent.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from rich.console import Console

from holdfast.bench.given.model_content import model_digest
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.heal.validation import Validation
from holdfast.bench.measured.guard_split import NoValidationItems
from holdfast.bench.measured.schema import Record, column
from holdfast.bench.measured.scores import Moment, read_scores
from holdfast.bench.measured.verdict import verdict
from holdfast.bench.run.arguments import rate_of
from holdfast.bench.run.folder import folder_of
from holdfast.bench.run.pushing import unpushed
from holdfast.bench.run.record import RunRecord
from holdfast.bench.run.run import train
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain, chain
from holdfast.methods.schedules.train import Train
from holdfast.probes.changes import changes, mean_of
from holdfast.probes.items import Split
from holdfast.probes.score import Score, level
from holdfast.recipe import parse
from holdfast.train.settings import train_of, without_train
from holdfast.train.trainer_view import sharing_examples

EPOCHS = 3.0
"""Passes over the data of a candidate that names none: the default of transformers."""
TAKEN = ("learning_rate", "num_train_epochs", "max_steps")
"""Arguments of the trainer that candidates set, so that the shared options of trials leave them out."""

NORMAL = 1.96
"""Half the width of a 95% interval of the normal distribution, in standard errors."""

State = Literal["finished", "pruned", "failed"]
"""What became of a trial: it took all its steps, its guard ended it early, or it has no result."""


@dataclasses.dataclass(frozen=True, order=True)
class Candidate:
    """A recipe with all its settings, as text in one form: equal candidates have equal texts.

    Attributes:
        recipe: The methods, a sum without `Train`; empty for plain training.
        settings: The settings of the training, a `Train` with its rate and epochs.
    """

    recipe: str
    settings: str

    @classmethod
    def of(cls, text: str) -> Self:
        """Returns the candidate of a recipe; a rate or a number of epochs that it does not name has its default.

        Raises:
            HoldfastError: The text is not a recipe, or it has no step.
        """
        recipe = parse(text)
        settings = train_of(recipe)
        rate = rate_of(recipe) if settings.lr is None else settings.lr
        epochs = EPOCHS if settings.epochs is None else settings.epochs
        if not epochs > 0:
            raise HoldfastError(f"{text}: trains for {epochs:g} epochs; give Train(epochs=...) above 0.")
        settings = dataclasses.replace(settings, lr=float(rate), epochs=float(epochs))
        return cls(" + ".join(map(repr, without_train(recipe))), repr(settings))

    @property
    def text(self) -> str:
        """Returns the whole recipe."""
        return " + ".join(part for part in (self.settings, self.recipe) if part)

    @property
    def train(self) -> Train:
        """Returns the settings of the training."""
        return train_of(self.chain())

    @property
    def epochs(self) -> float:
        """Returns the passes over the data."""
        epochs = self.train.epochs
        assert epochs is not None
        return epochs

    def chain(self) -> Chain:
        """Returns the whole recipe as methods."""
        return parse(self.text)

    def at(self, fidelity: float) -> str:
        """Returns the whole recipe with a share of the epochs; its schedules shrink with them.

        Args:
            fidelity: The share, above 0 and up to 1.
        """
        whole = self.chain()
        settings = dataclasses.replace(train_of(whole), epochs=self.epochs * fidelity)
        return repr(chain(settings, *without_train(whole)))

    def __str__(self) -> str:
        """Returns the whole recipe."""
        return self.text


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialOutcome(Record):
    """What came of a trial, on validation items.

    Attributes:
        state: "finished", "pruned" if the guard ended it because the budget was spent, or "failed".
        learned: Gain on what the training taught, in `learned_unit`; absent if the trial failed.
        learned_unit: "points", or "nats" (per token).
        lost: Loss on what should stay, in `lost_unit`, of the unit that takes the largest share of its limit; negative
            if the model became better; absent if the trial failed.
        lost_unit: "points", or "nats" (per token).
        limit: The loss that the budget allows in `lost_unit`.
        learned_error: Standard error of `learned`; absent if it is not known.
        lost_error: Standard error of `lost`; absent likewise.
        used: Share of the budget that the loss takes, with the room for its verdict; inside up to 1; absent likewise.
        cost: Cost in plain runs, of the steps that it took.
        seconds: Wall time of its training; absent if the trial failed.
        steps: Optimizer steps that it took; absent if the trial failed.
        folder: Folder of its run; absent if it has none.
        why: Why it failed; absent otherwise.
    """

    state: State
    learned: float | None = column(default=None)
    learned_unit: str = "points"
    lost: float | None = column(default=None)
    lost_unit: str = "points"
    limit: float = 1.0
    learned_error: float | None = column(default=None)
    lost_error: float | None = column(default=None)
    used: float | None = column(default=None)
    cost: float
    seconds: float | None = column(default=None)
    steps: int | None = column(default=None)
    folder: str | None = column(default=None)
    why: str | None = column(default=None)

    @property
    def inside(self) -> bool:
        """Whether the trial took all its steps and stayed inside the budget."""
        return self.state == "finished" and self.used is not None and self.used <= 1.0


def trial_spec(candidate: Candidate, fidelity: float, spec: RunSpec) -> RunSpec:
    """Returns the options of a trial's run.

    Args:
        candidate: The candidate.
        fidelity: Share of its epochs. Below 1, the guard stops the training when the budget is spent; at 1, it acts as
            `spec` says.
        spec: The shared options: model, data, what to measure, the budget, seed, and the folder of the runs.

    Raises:
        HoldfastError: The fidelity is not a share, there is no budget, or `spec.training` sets what candidates set.
    """
    if not 0 < fidelity <= 1:
        raise HoldfastError(f"A trial at fidelity {fidelity:g}: give a share above 0 and up to 1.")
    if spec.allowed() is None:
        raise HoldfastError("--budget is missing: say what may be lost, as in --budget points=2.")
    if taken := sorted({*TAKEN} & spec.training.keys()):
        raise HoldfastError(f"training: {', '.join(taken)} is set by each candidate; leave it out.")
    budget = spec.budget if fidelity == 1 else {**spec.budget, "on_spent": "stop"}
    return dataclasses.replace(spec, recipe=candidate.at(fidelity), budget=budget, name=None, resume=True)


def evaluate(
    candidate: Candidate,
    fidelity: float,
    spec: RunSpec,
    *,
    cost: float,
    shared: Path | None = None,
    console: Console | None = None,
) -> TrialOutcome:
    """Makes a trial and returns its outcome; a finished one is only read, and an interrupted one continues.

    A trial that fails for a reason of its own (its loss is not finite, memory runs out) is an outcome, not an error.

    Args:
        candidate: The candidate.
        fidelity: Share of its epochs, above 0 and up to 1.
        spec: The options that all trials share.
        cost: Cost of the trial in plain runs if it takes all its steps.
        shared: Folder of what all trials share: the base's answers, and the old examples that the base writes.
        console: Console for the output of the run.

    Raises:
        HoldfastError: The options do not allow any trial: see `trial_spec`, and no suite to keep or to learn has
            validation items.
    """
    run = trial_spec(candidate, fidelity, spec)
    folder = folder_of(run)
    bases, written = (None, None) if shared is None else (base_folder(shared, spec.model), shared / "old")
    try:
        with sharing_examples(written):
            train(run, console, bases=bases, validation=fidelity < 1)
    except NoValidationItems:
        raise
    except (HoldfastError, RuntimeError, MemoryError) as error:
        return failed(cost, " ".join(str(error).split()) or type(error).__name__, folder)
    return read_outcome(folder, cost)


def base_folder(shared: Path, model: str) -> Path:
    """Returns the folder of a base's answers in what trials share; questions are the same for another base."""
    return shared / "base" / model_digest(model)


def failed(cost: float, why: str, folder: Path | None = None) -> TrialOutcome:
    """Returns the outcome of a trial without a result, which counts as having taken all its steps."""
    return TrialOutcome(state="failed", cost=cost, why=why, folder=None if folder is None else str(folder))


def read_outcome(folder: Path, cost: float) -> TrialOutcome:
    """Returns the outcome of a finished run, read from the validation items in its folder.

    Args:
        folder: The folder of the run.
        cost: Cost of all its steps in plain runs.

    Raises:
        HoldfastError: The run has no guard, or no validation items of what it learns.
    """
    record, about = RunRecord.read(folder), json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    guard, planned = record.guard, int(about["resolved"]["steps"])
    if guard is None:
        raise NoValidationItems(f"{folder}: no suite to keep has validation items; give --keep more (a few dozen).")
    scores = read_scores(folder / "scores.jsonl")
    before, after = (side_of(scores[moment], guard.watched, "watch") for moment in ("before", "after"))
    learned = [_learned(side) for side in (before, after)]
    if not learned[0]:
        raise NoValidationItems(f"{folder}: no validation items measure what is learned; give --test more items.")
    budget = RunSpec.from_dict({"model": about["model"], "data": about["data"], "budget": about["budget"]}).allowed()
    assert budget is not None
    lost, unit = lost_of(before, after, budget)
    learned_error, lost_error = errors(before, after, unit)
    pruned = guard.on_spent == "stop" and record.steps < planned
    return TrialOutcome(
        state="pruned" if pruned else "finished",
        learned=level(learned[1]) - level(learned[0]),
        learned_unit="points" if any(score.unit == "points" for score in learned[0]) else "nats",
        learned_error=learned_error,
        lost=lost,
        lost_unit=unit,
        limit=budget.limits[unit],
        lost_error=lost_error,
        used=budget_used(scores, guard.watched, budget),
        cost=cost * min(1.0, record.steps / max(planned, 1)),
        seconds=record.seconds.training,
        steps=record.steps,
        folder=str(folder),
    )


def budget_used(scores: Mapping[Moment, Sequence[Score]], watched: Collection[str], budget: Budget) -> float:
    """Returns the share of the budget that a run takes on validation items.

    The share is that of a healing (`holdfast.bench.heal.validation.Validation.spent_by`), so that few test items leave
    less room for a loss.

    Args:
        scores: The scores "before" and "after". A trial that asked no test items has none.
        watched: Names of the suites with validation items.
        budget: The budget.
    """
    before, after = (side_of(scores[moment], watched, "watch") for moment in ("before", "after"))
    test = side_of(scores["before"], watched, "proof")
    return Validation((), before, budget, test=test).spent_by(after)


def lost_of(before: Sequence[Score], after: Sequence[Score], budget: Budget) -> tuple[float, str]:
    """Returns the loss that takes the largest share of the budget, and its unit."""
    judged = verdict(changes(before, after), budget)
    means = {mean.unit: -mean.change if mean.unit == "points" else mean.change for mean in judged.means}
    unit = max(means, key=lambda name: means[name] / judged.limits[name])
    return means[unit], unit


def errors(before: Sequence[Score], after: Sequence[Score], unit: str) -> tuple[float | None, float | None]:
    """Returns the standard errors of what was learned, and of what was lost in a unit; None where one is not known."""
    moved = changes(before, after)
    learned = [change for change in moved if change.role == "learned"]
    kept = [change for change in moved if change.role == "retained" and change.unit == unit]
    alike = len({change.unit for change in learned}) == 1
    return _error(*mean_of(learned).interval()) if alike else None, _error(*mean_of(kept).interval())


def _error(low: float, high: float) -> float | None:
    """Returns the standard error of which a 95% interval is made; None if it has no end."""
    return (high - low) / (2 * NORMAL) if math.isfinite(high - low) else None


def side_of(scores: Sequence[Score], watched: Collection[str], split: Split) -> list[Score]:
    """Returns the scores of one side of the watched suites."""
    return [score for score in scores if score.suite in watched and score.split == split]


def _learned(scores: Sequence[Score]) -> list[Score]:
    return [score for score in scores if score.role == "learned"]


def trials_options(spec: RunSpec, **changes: Any) -> RunSpec:
    """Returns the shared options of trials: those of a run, without what each candidate sets; nothing is pushed."""
    training = {name: value for name, value in unpushed(spec.training).items() if name not in TAKEN}
    return dataclasses.replace(spec, training=training, **changes)
