"""Times a few optimizer steps of a recipe, and estimates the time of its whole run."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import scipy.stats
from transformers import TrainerCallback

from holdfast.bench.given.loading import load_model
from holdfast.bench.plan.facts import PlanInputs
from holdfast.bench.plan.reading import sample
from holdfast.bench.plan.record import TimeRow
from holdfast.bench.run.arguments import training_arguments
from holdfast.bench.run.estimate import stays_frozen
from holdfast.bench.run.resources import training_settings
from holdfast.bench.run.training import plain_trainer
from holdfast.core.method import Chain, chain
from holdfast.methods.rehearsal.rehearsal import Rehearsal
from holdfast.methods.rehearsal.self_rehearsal import SelfRehearsal
from holdfast.probes.composition import chats, documents
from holdfast.recipe import parse
from holdfast.train.attach import attach

STEPS, SECONDS = 6, 60.0
"""Most timed steps, and the seconds after which no further step begins."""
CONFIDENCE = 0.90
WRITTEN = 16
"""Number of examples that the base writes for the time of writing."""
STAND_IN = "stand-in"
"""Name of the rows of the data that stand in, for the time alone, for what the base would write."""


class StepTimer(TrainerCallback):
    """Takes the time of steps, and ends the training after some."""

    def __init__(self, steps: int, seconds: float) -> None:
        self.steps, self.limit = steps, seconds
        self.seconds: list[float] = []
        self._began = self._first = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Notes the time."""
        self._began = time.perf_counter()
        self._first = self._first or self._began

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Adds the time of a step, and stops after the last one; two steps at least, because the first is left out."""
        now = time.perf_counter()
        self.seconds.append(now - self._began)
        done = len(self.seconds)
        if done > self.steps or (done > 1 and now - self._first > self.limit):
            control.should_training_stop = True


def time_recipe(inputs: PlanInputs, text: str, *, steps: int = STEPS, seconds: float = SECONDS) -> TimeRow:
    """Trains a fresh copy of the model for a few steps, and returns the time of the whole run.

        T = S * mean(t),   interval: S * (mean(t) -+ q sd(t) / sqrt(k)),   q of Student's t with k - 1 degrees

    for k timed steps and S steps of the run. The first step is left out, because it prepares memory. Where the base
    would write old examples first, rows of the data stand in for them, and the time of writing is estimated from a few.

    Args:
        inputs: What the plan has read.
        text: The recipe.
        steps: Most timed steps.
        seconds: Seconds after which no further step begins.

    Raises:
        HoldfastError: The model does not load, or the recipe does not work on it.
    """
    recipe = parse(text)
    model = load_model(inputs.run.model, frozen=stays_frozen(recipe, inputs.run.model))
    writer = next((part for part in recipe.parts() if isinstance(part, SelfRehearsal)), None)
    memories = inputs.memories if writer is None else {STAND_IN: sample(inputs.data.train)}
    writing = None if writer is None else _writing_seconds(model, inputs, writer)
    with tempfile.TemporaryDirectory(prefix="holdfast-plan-") as folder:
        arguments = training_arguments(inputs.run, recipe, Path(folder) / "checkpoints")
        arguments.save_strategy = "no"
        trainer = plain_trainer(model, arguments, inputs.data.train, inputs.tokenizer, recipe)
        attach(trainer, _with_stand_in(recipe), memories=memories, chunked_loss=True)
        timer = StepTimer(steps, seconds)
        trainer.add_callback(timer)
        trainer.train()
        run_steps, tokens = _size(trainer, recipe, arguments)
    return time_row(text, timer.seconds[1:] or timer.seconds, run_steps, tokens, writing)


def _size(trainer: Any, recipe: Chain, arguments: Any) -> tuple[int, float]:
    """Returns the number of steps of the whole run, old examples included, and the tokens that a step reads."""
    order = list(trainer._get_train_sampler(trainer.train_dataset))
    settings = training_settings(recipe, arguments, len(order))
    lengths = [len(_ids_of(trainer.train_dataset[number])) for number in order]
    return int(settings["steps"]), statistics.fmean(lengths) * settings["batch"]


def _ids_of(row: Any) -> Sequence[int]:
    """Returns the token ids of a row of a trainer's dataset, which holds examples or columns."""
    ids: Sequence[int] = row["input_ids"] if isinstance(row, dict) else row.input_ids
    return ids


def _with_stand_in(recipe: Chain) -> Chain:
    """Returns the recipe with given examples in the place of those that the base would write."""
    return chain(
        *(Rehearsal(STAND_IN, ratio=part.ratio) if isinstance(part, SelfRehearsal) else part for part in recipe.parts())
    )


def _writing_seconds(model: Any, inputs: PlanInputs, writer: SelfRehearsal) -> float:
    """Returns the seconds in which the base writes all its examples, in proportion to those of a few."""
    began = time.perf_counter()
    length = min(writer.length, inputs.longest)
    if getattr(inputs.tokenizer, "chat_template", None) and writer.form != "text":
        chats(model, inputs.tokenizer, WRITTEN, max_tokens=length)
    else:
        documents(model, inputs.tokenizer, WRITTEN, max_tokens=length)
    return (time.perf_counter() - began) * writer.count / WRITTEN


def time_row(text: str, seconds: Sequence[float], run_steps: int, tokens: float, writing: float | None) -> TimeRow:
    """Returns the estimate from the seconds of each timed step.

    Args:
        text: The recipe.
        seconds: Seconds of each step.
        run_steps: Number of steps of the run.
        tokens: Tokens that a step reads, on average.
        writing: Seconds of writing before.
    """
    mean, count = statistics.fmean(seconds), len(seconds)
    low = high = None
    if count > 1:
        half = float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * statistics.stdev(seconds) / math.sqrt(count)
        low, high = run_steps * max(mean - half, 0.0), run_steps * (mean + half)
    return TimeRow(
        recipe=text,
        steps=count,
        run_steps=run_steps,
        seconds_per_thousand=1000 * mean / max(tokens, 1.0),
        seconds=run_steps * mean,
        low=low,
        high=high,
        writing_seconds=writing,
    )
