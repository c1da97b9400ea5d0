"""Translates a config to the options of `holdfast train`, setting by setting."""

from __future__ import annotations

import dataclasses
from typing import Any

from holdfast.bench.plan.check.config import TrainingConfig

HELD = "BaseKL(on='memory') + SelfRehearsal(ratio=0.5)"
"""What holds a model to its base: Holdfast() without its schedule, because the config has one."""


@dataclasses.dataclass(frozen=True)
class Translation:
    """The options of a run that does what a config does.

    Attributes:
        options: The options, as a file for `holdfast train --config` holds them.
        changed: The same recipe with what holds the model to its base; empty if the config has that already.
        left: Sentences on what has no translation.
    """

    options: dict[str, Any]
    changed: str
    left: tuple[str, ...]


def translated(config: TrainingConfig, model: str = "") -> Translation:
    """Returns the run that a config describes.

    Args:
        config: The config.
        model: Model to take in place of the config's.
    """
    left: list[str] = []
    if config.recipe is not None:
        options = {**config.options, **({"model": model} if model else {})}
        return Translation(options, "" if config.rehearses else f"{config.recipe} + {HELD}", ())
    if config.objective != "sft":
        left.append(f"the objective {config.objective}: holdfast train has supervised fine-tuning alone")
    if config.tuning == "other":
        left.append("the way in which it adapts the model: LoRA() takes its place")
    if len(config.data) > 1:
        others = ", ".join(config.data[1:])
        left.append(f"{len(config.data) - 1} of {len(config.data)} data sets: {others}; join them in one file")
    if config.held_out is None and config.test is None:
        left.append("training on every row: a tenth measures what is learned (held_out: 0 takes all)")
    options = {
        "model": model or config.model,
        "data": config.data[0] if config.data else "",
        "recipe": " + ".join([_train(config), *_parts(config)]),
        "test": config.test,
        "held_out": config.held_out,
        "max_length": config.max_length,
        "over_long": config.over_long,
        "loss_on": config.loss_on,
        "packing": config.packing,
        "precision": config.precision,
        "batch_size": config.rows,
        "seed": config.seed,
        "training": _arguments(config),
    }
    kept = {name: value for name, value in options.items() if value not in (None, "", {})}
    return Translation(kept, " + ".join([_train(config), *_parts(config), HELD]), tuple(left))


def _train(config: TrainingConfig) -> str:
    """Returns the settings of the training as text."""
    batch = config.batch if config.rows is not None else None
    epochs = config.epochs if config.max_steps is None else None
    values = {"lr": config.lr, "epochs": epochs, "batch": batch, "weight_decay": config.weight_decay}
    values |= {"clip": config.clip if config.tuning != "qlora" else None}
    return f"Train({', '.join(f'{name}={value:.12g}' for name, value in values.items() if value is not None)})"


def _parts(config: TrainingConfig) -> list[str]:
    """Returns the methods of the recipe as text."""
    if config.tuning == "freeze":
        return [f"FreezeBottom(share={config.frozen or 0.85:g})"]
    if config.tuning == "full":
        return []
    values: dict[str, Any] = {"rank": config.rank, "alpha": config.alpha, "dropout": config.dropout}
    if config.tuning == "qlora":  # whose own defaults differ from those of the trainers
        values |= {"dropout": config.dropout or 0.0, "clip": 1.0 if config.clip is None else config.clip}
    values |= {"targets": config.targets}
    name = "QLoRA" if config.tuning == "qlora" else "LoRA"
    return [f"{name}({', '.join(f'{key}={value!r}' for key, value in values.items() if value is not None)})"]


def _arguments(config: TrainingConfig) -> dict[str, Any]:
    """Returns the arguments of the trainer that the recipe does not hold."""
    warm_up = config.warmup_steps if config.warmup_steps is not None else config.warmup_share
    values = {"lr_scheduler_type": config.schedule, "warmup_steps": warm_up, "max_steps": config.max_steps}
    return {**{name: value for name, value in values.items() if value is not None}, **config.passed}
