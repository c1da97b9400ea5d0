"""The settings of a training run: the `Train` of a recipe, and the trainer's arguments that it sets.

Only this module finds, changes or removes the settings in a recipe.
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
"""Fields of `Train`, each with the trainer's argument that it sets."""

SET_BY = {
    **{argument: field for field, argument in WRITTEN.items()},
    "max_steps": "epochs",
    "gradient_accumulation_steps": "batch",
}
"""The trainer's arguments that a recipe sets, each with the field of `Train` that sets it."""

DEFAULTS = Train()
"""The settings of a recipe without `Train`: the trainer's arguments stay as they are."""


def train_of(recipe: Method) -> Train:
    """Returns the `Train` of a recipe; `DEFAULTS` if it has none."""
    return next((part for part in recipe.parts() if isinstance(part, Train)), DEFAULTS)


def without_train(recipe: Method) -> tuple[Method, ...]:
    """Returns the methods of a recipe other than `Train`, in order."""
    return tuple(part for part in recipe.parts() if not isinstance(part, Train))


def with_train(recipe: Method, **changes: Any) -> Chain:
    """Returns a recipe with changed fields of its `Train`; without a `Train` it stays the same."""
    return Chain(
        tuple(dataclasses.replace(part, **changes) if isinstance(part, Train) else part for part in recipe.parts())
    )


def write_settings(settings: Train, args: HostArguments, micro: int) -> None:
    """Writes the fields of `Train` that are set into a trainer's arguments.

    Args:
        settings: The settings of a recipe.
        args: The arguments; a field that is None leaves its argument unchanged.
        micro: Rows of one forward, summed over all processes.

    Raises:
        HoldfastError: `batch` is not a multiple of `micro`.
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
