"""The short run: the first thirty steps of a recipe's run, and what they have done to the model."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from holdfast.bench.forecast.looked import Reader, Reading
from holdfast.bench.given.loading import load_model
from holdfast.bench.plan.facts import PlanInputs
from holdfast.bench.run.arguments import training_arguments
from holdfast.bench.run.estimate import stays_frozen
from holdfast.bench.run.inputs import memory_paths, old_examples
from holdfast.bench.run.resources import training_settings
from holdfast.bench.run.training import plain_trainer
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain, chain
from holdfast.core.mix import Example
from holdfast.methods.rehearsal.self_rehearsal import SelfRehearsal
from holdfast.recipe import parse
from holdfast.train.attach import attach
from holdfast.train.session import Session

STEPS = 30
"""Steps of a short run."""
SPARE = 1.5
"""Old examples that the base writes for a short run, per example that its steps need."""


class TooFewSteps(HoldfastError):
    """A run has fewer steps than a forecast reads."""


@dataclasses.dataclass(frozen=True)
class ShortRun:
    """What a short run has measured.

    Attributes:
        recipe: The recipe.
        steps: Number of its steps.
        run_steps: Number of steps of the whole run.
        rate: Peak learning rate.
        rates: Sum of the learning rates of its steps.
        run_rates: Sum of the learning rates of all steps of the run, as far as the schedule is known; a schedule that
            reads the loss is taken to stay where it is.
        old: Share of old examples in the supervised tokens.
        holds: Whether the recipe compares the model with its base while it trains.
        adapts: Whether it trains an adapter.
        trained: Share of the parameters that train.
        reading: The shift of the model as it would ship after these steps.
        seconds: Seconds of its steps.
        all_seconds: Seconds of all that it took, readings and old examples included.
    """

    recipe: str
    steps: int
    run_steps: int
    rate: float
    rates: float
    run_rates: float
    old: float
    holds: bool
    adapts: bool
    trained: float
    reading: Reading
    seconds: float
    all_seconds: float


class _Watch(TrainerCallback):
    """Notes learning rates, and ends the training after some steps."""

    def __init__(self, trainer: Any, steps: int, advance: Callable[..., None]) -> None:
        self.trainer, self.steps, self.advance = trainer, steps, advance
        self.rates: list[float] = []
        self.seconds = 0.0
        self.run_rates = math.nan
        self._began = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Refuses a run that is shorter than the steps to measure."""
        if state.max_steps < self.steps:
            raise TooFewSteps(
                f"{self.trainer.holdfast_recipe!r}: its run has {state.max_steps} steps, and a forecast reads the first"
                f" {self.steps}; train it instead, or give more rows, more epochs or a smaller batch."
            )

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Notes the time."""
        self._began = time.perf_counter()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Notes the rate, before the trainer's scheduler sets the next one."""
        self.rates.append(max(group["lr"] for group in self.trainer.optimizer.param_groups))
        if len(self.rates) == self.steps:
            self.run_rates = sum(self.rates) + sum(rates_ahead(self.trainer, self.steps, state.max_steps))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stops after the last step."""
        self.seconds += time.perf_counter() - self._began
        done = len(self.rates)
        self.advance(done)
        control.should_training_stop = done >= self.steps


def rates_ahead(trainer: Any, done: int, total: int) -> Iterator[float]:
    """Yields the learning rates of the steps from number `done` on, of the parameter group with the highest rate.

    The schedules of the recipe are called as in training, with the losses of the last step; without any, the trainer's
    schedule is.
    """
    groups = trainer.optimizer.param_groups
    peak = max(group.get("initial_lr", group["lr"]) for group in groups)
    session: Session = trainer.holdfast
    if not session.scales_lr:
        wrapped = trainer.lr_scheduler
        lambdas = getattr(getattr(wrapped, "scheduler", wrapped), "lr_lambdas", None)
        now = max(group["lr"] for group in groups)  # a schedule without a formula is taken to stay where it is
        yield from (peak * lambdas[0](index) if lambdas else now for index in range(done, total))
        return
    step = session.step()
    names = {key for key, _ in session.recipe.keyed("scale_lr")}
    state = copy.deepcopy({key: value for key, value in session.state.items() if key in names})
    for index in range(done, total):
        yield peak * session.recipe.scale_lr(state, dataclasses.replace(step, index=index, total=total))


def run_shortly(
    inputs: PlanInputs,
    text: str,
    reader: Reader,
    folder: Path,
    *,
    steps: int = STEPS,
    advance: Callable[..., None] = lambda *_args, **_kwargs: None,
) -> ShortRun:
    """Trains a fresh copy of the model for the first steps of a run, and returns what they have done to it.

    Args:
        inputs: What the plan has read; its run gives the seed and everything but the recipe.
        text: The recipe.
        reader: Reads the model; the base reads once for all recipes.
        folder: Folder for what the base writes; recipes with the same `SelfRehearsal` share it.
        steps: Number of steps.
        advance: Called with the number of steps done.

    Raises:
        TooFewSteps: The run has fewer steps.
        HoldfastError: The recipe does not work on the model, or a likelihood is not finite.
    """
    began = time.perf_counter()
    recipe = parse(text)
    arguments = training_arguments(inputs.run, recipe, folder / "checkpoints")
    arguments.save_strategy = "no"
    model: Any = load_model(inputs.run.model, frozen=stays_frozen(recipe, inputs.run.model))
    trainer = plain_trainer(model, arguments, inputs.data.train, inputs.tokenizer, recipe)
    attach(trainer, _with_few_written(recipe, inputs, arguments, steps), memories=memories_of(inputs, recipe))
    watch = _Watch(trainer, steps, advance)
    trainer.add_callback(watch)
    trainer.train()
    attached: Any = trainer
    mix = attached.holdfast_mix
    weights = [(p.numel(), p.requires_grad) for p in attached.holdfast.model.parameters()]
    return ShortRun(
        recipe=text,
        steps=steps,
        run_steps=int(attached.state.max_steps),
        rate=float(arguments.learning_rate),
        rates=sum(watch.rates),
        run_rates=watch.run_rates,
        old=0.0 if mix is None else float(sum(mix.ratios)),
        holds=any(name.startswith("base_") for name in recipe.active().needs.reads),
        adapts=hasattr(attached.holdfast.model, "peft_config"),
        trained=sum(count for count, trains in weights if trains) / sum(count for count, _ in weights),
        reading=reader.read(attached.model),
        seconds=watch.seconds,
        all_seconds=time.perf_counter() - began,
    )


def memories_of(inputs: PlanInputs, recipe: Chain) -> Mapping[str, list[Example]]:
    """Returns the old examples that a recipe names, read where the plan has not read them yet."""
    run = inputs.run
    paths, _ = memory_paths(recipe, run)
    for name, path in paths.items():
        if name not in inputs.memories:
            inputs.memories[name] = old_examples(run, path, inputs.tokenizer)
    return {name: inputs.memories[name] for name in paths}


def _with_few_written(recipe: Chain, inputs: PlanInputs, arguments: Any, steps: int) -> Chain:
    """Returns the recipe, in which the base writes no more examples than the steps rehearse.

    A written document of a few tokens at least is assumed to have an eighth of its longest length.
    """
    rows = inputs.data.train
    learned = sum(row.supervised for row in rows) / len(rows)
    batch = training_settings(recipe, arguments, len(rows))["batch"]
    parts = []
    for part in recipe.parts():
        if isinstance(part, SelfRehearsal):
            tokens = steps * batch * learned * part.ratio / (1 - part.ratio)
            count = math.ceil(SPARE * tokens / max(1, part.length // 8))
            part = dataclasses.replace(part, count=max(1, min(part.count, count)))
        parts.append(part)
    return chain(*parts)
