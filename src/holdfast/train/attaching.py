"""The steps that every `attach` takes: the recipe, what is watched, a trainer as found, trainers of other rooms."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import Guard
from holdfast.core.method import Chain, Method, chain
from holdfast.recipe import parse
from holdfast.train.trainer_parts import unwrap
from holdfast.train.trainers import HostTrainer

GROUP = "holdfast.trainers"
"""Entry points: functions with the arguments of `attach`, by the package of the trainers that they attach to."""


def attach_of(trainer: object) -> Callable[..., Any] | None:
    """Returns the function that attaches to the trainers of another library; None for those that `attach` knows."""
    packages = {cls.__module__.partition(".")[0] for cls in type(trainer).__mro__}
    points = [point for point in importlib.metadata.entry_points(group=GROUP) if point.name in packages]
    return points[0].load() if points else None


def parts_of(recipe: Method | str | None) -> Chain:
    """Returns the methods of the recipe given to `attach`."""
    return parse(recipe) if isinstance(recipe, str) else chain(*([recipe] if recipe is not None else []))


def watching_of(budget: Budget | None, guard: Guard | None, keep: object, learn: object) -> Guard | None:
    """Returns how the budget is watched; None without a budget.

    Raises:
        HoldfastError: There is a budget and nothing to watch, or something to watch and no budget.
    """
    if budget is None:
        for name, value in (("keep", keep), ("learn", learn), ("guard", guard)):
            if value is not None:
                raise HoldfastError(f"attach({name}=...) watches a budget, and there is none: give Budget(points=2).")
        return None
    if keep is None:
        raise HoldfastError("A guard needs something to watch: give attach(keep='texts.txt').")
    return guard or Guard()


@contextlib.contextmanager
def as_found_if_refused(trainer: HostTrainer, shaped: Callable[[], nn.Module]) -> Iterator[None]:
    """Restores trainer, arguments and model if the block raises; `shaped` returns the model with its adapters."""
    attributes, arguments, model = dict(vars(trainer)), dict(vars(trainer.args)), shaped()
    trained = [(p, p.requires_grad) for p in model.parameters()]
    try:
        yield
    except BaseException:
        if shaped() is not model:
            unwrap(shaped())
        for p, was in trained:
            p.requires_grad = was
        vars(trainer).update(attributes)
        vars(trainer.args).update(arguments)
        raise
