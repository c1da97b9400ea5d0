"""The settings of a training: the `Train` of a recipe, and what it sets of a trainer's arguments.

Everything that looks for the settings in a recipe, changes them or leaves them out does it here.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain, Method
from holdfast.methods.schedules.train import Train
from holdfast.train.trainers import HostArguments

WRITTEN = {
    "lr": "learning_rate",
    "epochs": "num_train_epochs",
    "weight_decay": "weight_decay",
    "clip": "max_grad_norm",
}
"""Fields of `Train`, and the trainer's argument that each is written into."""

SET_BY = {
    **{argument: field for field, argument in WRITTEN.items()},
    "max_steps": "epochs",
    "gradient_accumulation_steps": "batch",
}
"""The trainer's arguments that a recipe sets, and the field of `Train` that does."""

DEFAULTS = Train()
"""The settings of a recipe that has none: all is as the trainer has it."""


def train_of(recipe: Method) -> Train:
    """Returns the settings in a recipe; `DEFAULTS` if it has none."""
    return next((part for part in recipe.parts() if isinstance(part, Train)), DEFAULTS)


def without_train(recipe: Method) -> tuple[Method, ...]:
    """Returns the methods of a recipe beside its settings, in order."""
    return tuple(part for part in recipe.parts() if not isinstance(part, Train))


def with_train(recipe: Method, **changes: Any) -> Chain:
    """Returns a recipe with other values in its settings, where it has any."""
    return Chain(
        tuple(dataclasses.replace(part, **changes) if isinstance(part, Train) else part for part in recipe.parts())
    )


def write_settings(settings: Train, args: HostArguments, micro: int) -> None:
    """Writes what the settings give into a trainer's arguments.

    Args:
        settings: A recipe's.
        args: The arguments; what the settings do not give stays as it is.
        micro: Rows of one forward over all processes.

    Raises:
        HoldfastError: The rows of a step cannot be divided into such forwards.
    """
    if settings.batch is not None:
        if settings.batch % micro:
            raise HoldfastError(
                f"Train(batch={settings.batch}) is not a multiple of {micro}, the rows of one forward over all"
                " processes; change it, or the trainer's per_device_train_batch_size (--batch-size), to fit."
            )
        args.gradient_accumulation_steps = settings.batch // micro
    for field, argument in WRITTEN.items():
        if (value := getattr(settings, field)) is not None:
            setattr(args, argument, value)
