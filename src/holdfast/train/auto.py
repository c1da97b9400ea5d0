"""The recipe `auto` on an attached trainer: what a plan would choose by its size, and a guard that steers."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import Guard, steering
from holdfast.core.method import Chain, chain
from holdfast.methods.holdfast import Holdfast
from holdfast.methods.schedules.train import Train
from holdfast.train.rates import REAL, adapter_rate, full_rate
from holdfast.train.trainers import HostTrainer

logger = logging.getLogger("holdfast")


def auto_recipe(parameters: int, is_adapter: bool, old: Iterable[str]) -> Chain:
    """Returns the recipe that a plan advises for a model, without what it reads of the data and the machine.

    All weights train below 100 million parameters, and a new adapter from there on, which rehearses the model's own
    answers and refusals; an adapter is trained further. A plan (`holdfast plan`) also measures how far the data is from
    what the model knows, and what fits into memory; batch and epochs stay those of the trainer.

    Args:
        parameters: Number of parameters of the model.
        is_adapter: Whether the model is an adapter on a base.
        old: Names of old examples; without any, the base writes some.
    """
    large = parameters >= REAL
    new_adapter = not is_adapter and large
    rate = adapter_rate(parameters) if is_adapter or new_adapter else full_rate(parameters)
    return chain(Train(lr=rate), Holdfast(", ".join(old), new_adapter, large))


def chosen(trainer: HostTrainer, budget: Budget | None, guard: Guard | None, old: Iterable[str]) -> tuple[Chain, Guard]:
    """Returns the recipe for a trainer, and the guard that steers it; states both in the log.

    Args:
        trainer: The trainer.
        budget: The budget that the run is held to.
        guard: The guard that the user gave; None for the default.
        old: Names of the old examples that the user gave.

    Raises:
        HoldfastError: There is no budget.
    """
    if budget is None:
        raise HoldfastError(
            "attach(trainer, 'auto') holds a run inside a budget, and there is none: give budget=Budget(points=2), or"
            " name a recipe."
        )
    parameters = sum(p.numel() for p in trainer.model.parameters())
    recipe = auto_recipe(parameters, hasattr(trainer.model, "peft_config"), old)
    watching = steering(guard or Guard())
    logger.warning(
        "Recipe auto: %r, for a model of %s parameters, inside a budget of %s (on_spent=%s). Batch and epochs are the"
        " trainer's.",
        recipe,
        f"{parameters:,}",
        budget,
        watching.on_spent,
    )
    return recipe, watching
