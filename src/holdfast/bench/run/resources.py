"""The settings and the memory of a run, known before its model is loaded; refuses a run that does not fit."""

from __future__ import annotations

import copy
import dataclasses
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from transformers import TrainingArguments

from holdfast.bench.given.loading import config_of
from holdfast.bench.given.model_files import (
    base_of,
    folder_of_model,
    folder_or_name,
    is_adapter,
    is_available,
    missing_base_error,
)
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.run.estimate import GB, Estimate, estimate
from holdfast.core.errors import HoldfastError
from holdfast.core.free_memory import free_memory
from holdfast.core.method import Chain, chain
from holdfast.core.mix import Example
from holdfast.methods.adapter import Adapter
from holdfast.methods.selection.lora import LoRA
from holdfast.train.settings import train_of, write_settings


@dataclasses.dataclass(frozen=True)
class Resources:
    """The settings and the memory of a run.

    Attributes:
        estimate: Estimate of its memory.
        free: Free bytes.
        where: "on the GPU" or "in memory".
        settings: Settings of the training: `learning_rate`, `schedule`, `epochs`, `steps`, `batch` (rows of a step:
            `micro_batch` x `accumulation` x `processes`), `optimizer`, `weight_decay`, `precision`; steps count new
            rows only.
        mixes: Whether old examples add steps.
    """

    estimate: Estimate
    free: int
    where: str
    settings: dict[str, Any]
    mixes: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Returns the entry in spec.json."""
        return {**self.settings, **self.estimate.to_dict()}

    def lines(self) -> list[str]:
        """Returns settings and memory as lines of text."""
        return [*model_lines(self), *settings_lines(self.settings, more=self.mixes)]


def resources_of(
    spec: RunSpec, recipe: Chain, arguments: TrainingArguments, examples: Sequence[Example], longest: int
) -> Resources:
    """Returns the settings and the memory of a run, from the model's configuration and the rows.

    Args:
        spec: The run.
        recipe: Its recipe.
        arguments: The trainer's arguments.
        examples: Examples to train on.
        longest: Number of tokens of the longest row in training, old examples included.

    Raises:
        HoldfastError: The model is not available, or is not a causal language model.
    """
    config = config_of(_base(spec.model))
    free, where = free_memory()
    return Resources(
        estimate(spec.model, config, recipe, arguments, longest),
        free,
        where,
        training_settings(recipe, arguments, len(examples)),
        recipe.active().uses("mix_data") and arguments.max_steps <= 0,
    )


def check_memory(
    resources: Resources, spec: RunSpec, recipe: Chain, arguments: TrainingArguments, longest: int
) -> list[str]:
    """Refuses a run that does not fit into memory; with `memory_check="warn"`, returns a warning instead.

    Raises:
        HoldfastError: The run needs more memory than is free; names what would fit.
    """
    need = resources.estimate
    if need.total <= resources.free or need.quantised:
        return []
    config = config_of(_base(spec.model))
    needs = f"{_count(need.parameters)} parameters: {_what_trains(need)} needs about {_size(need.total)}"
    fitting = [
        f"{words} about {_size(size)}"
        for words, size in _alternatives(spec.model, config, recipe, arguments, longest)
        if size < 0.9 * need.total
    ]
    alternatives = f"; {', '.join(fitting)}" if fitting else ""
    sentence = f"{spec.model}: {needs}{alternatives}; {_size(resources.free)} are free {resources.where}"
    if spec.memory_check == "warn":
        return [f"{sentence}."]
    raise HoldfastError(f"{sentence}. Choose what fits, or continue with --memory-check warn.")


def _alternatives(
    model: str, config: Any, recipe: Chain, arguments: TrainingArguments, longest: int
) -> Iterator[tuple[str, int]]:
    """Yields smaller runs, in words, and their bytes: fewer rows at once, an adapter, both."""
    rows = arguments.per_device_train_batch_size
    adapted = None
    if not any(isinstance(part, Adapter) for part in recipe.parts()) and not is_adapter(_folder(model)):
        parts = [part for part in recipe.parts() if not part.freezes]
        adapted = chain(LoRA(), *parts)
    single = copy.copy(arguments) if rows > 1 else None
    if single is not None:
        single.per_device_train_batch_size = 1
    if single is not None:
        yield "with --batch-size 1", estimate(model, config, recipe, single, longest).total
    if adapted is not None:
        yield "`LoRA()`", estimate(model, config, adapted, arguments, longest).total
        if single is not None:
            yield "`LoRA()` with --batch-size 1", estimate(model, config, adapted, single, longest).total


def training_settings(recipe: Chain, arguments: TrainingArguments, rows: int) -> dict[str, Any]:
    """Returns the resolved settings of a training.

    Args:
        recipe: The recipe; its settings are applied to a copy of `arguments`.
        arguments: The trainer's arguments.
        rows: Number of rows of an epoch.

    Raises:
        HoldfastError: The rows of a step cannot be divided among the forwards of all processes.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    micro = arguments.per_device_train_batch_size
    settled: Any = copy.copy(arguments)
    write_settings(train_of(recipe), settled, micro * processes)
    accumulation, epochs = settled.gradient_accumulation_steps, float(settled.num_train_epochs)
    batches = math.ceil(rows / (micro * processes))
    per_epoch = max(math.ceil(batches / accumulation), 1)
    steps = settled.max_steps if settled.max_steps > 0 else math.ceil(epochs * per_epoch)
    return {
        "learning_rate": settled.learning_rate,
        "schedule": schedule_of(recipe, settled),
        "epochs": steps / per_epoch if settled.max_steps > 0 else epochs,
        "steps": steps,
        "batch": micro * accumulation * processes,
        "micro_batch": micro,
        "accumulation": accumulation,
        "processes": processes,
        "optimizer": str(getattr(settled.optim, "value", settled.optim)),
        "weight_decay": settled.weight_decay,
        "precision": "bf16" if settled.bf16 else "fp16" if settled.fp16 else "fp32",
    }


def resolved_settings(trainer: Any, resources: Resources) -> dict[str, Any]:
    """Returns the resolved settings for spec.json; their rows include old examples."""
    settings = resources.settings
    if trainer.holdfast_mix is not None:
        rows = len(trainer._get_train_sampler(trainer.train_dataset))
        settings = training_settings(trainer.holdfast_recipe, trainer.args, rows)
    return {**settings, **resources.estimate.to_dict()}


def schedule_of(recipe: Chain, arguments: TrainingArguments) -> str:
    """Returns the learning-rate schedule as text: that of the recipe, or of the trainer."""
    schedules = [repr(part) for part in recipe.active().parts() if part.uses("scale_lr")]
    if schedules:
        return " + ".join(schedules)
    name = str(getattr(arguments.lr_scheduler_type, "value", arguments.lr_scheduler_type))
    ramp = arguments.get_warmup_steps(1000)
    return name + (" with warm-up" if ramp else "")


def settings_lines(settings: dict[str, Any], *, more: bool = False) -> list[str]:
    """Returns the settings as lines of text; with `more`, they say that old examples add steps."""
    epochs = settings["epochs"]
    duration = f"{epochs:g} epoch{'' if epochs == 1 else 's'} = {settings['steps']:,} steps"
    duration += ", and more for old examples," if more else ""
    split = " x ".join(str(settings[key]) for key in ("micro_batch", "accumulation", "processes") if settings[key] > 1)
    parts = f" ({split})" if " x " in split else ""
    return [
        f"learning rate {settings['learning_rate']:g}, schedule {settings['schedule']}",
        f"{duration} of {settings['batch']} row{'' if settings['batch'] == 1 else 's'}{parts}, {settings['optimizer']},"
        f" {settings['precision']}",
    ]


def model_lines(resources: Resources) -> list[str]:
    """Returns lines of text on the model and the memory of the run."""
    need = resources.estimate
    share = need.trained / max(need.parameters, 1)
    trains = "all of them train" if share == 1 else f"{share:.2%} of them train ({_count(need.trained)})"
    kind = f"frozen ones in {need.narrow}, the rest in float32" if need.narrow else "float32"
    known = (
        "" if need.quantised else f"memory: about {_size(need.total)} of {_size(resources.free)} free {resources.where}"
    )
    return [f"{_count(need.parameters)} parameters, {trains}; {kind}", *([known] if known else [])]


def longest_row(examples: Iterable[Example]) -> int:
    """Returns the number of tokens of the longest row; 1 without rows."""
    return max((len(example.input_ids) for example in examples), default=1)


def _what_trains(need: Estimate) -> str:
    return "full training" if need.trained > 0.9 * need.parameters else "this recipe"


def _count(number: int) -> str:
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f}{letter}"
    return str(number)


def _size(number: int) -> str:
    size = number / GB
    if size < 0.1:
        return f"{number / 1e6:.0f} MB"
    return f"{size:.0f} GB" if size >= 10 else f"{size:.1f} GB"


def _base(name: str) -> str:
    """Returns the base of an adapter, or the name of a whole model."""
    folder = _folder(name)
    if folder is None or not is_adapter(folder):
        return name
    if not is_available(base_of(folder)):
        raise missing_base_error(folder)
    return base_of(folder)


def _folder(name: str) -> Any:
    return folder_of_model(folder_or_name(name))
