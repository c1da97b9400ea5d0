"""The options of a plug-in, which stand in the config of another package, and how they reach its trainer."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable
from typing import Any

from transformers import Trainer

from holdfast.bench.given.options import Options, option
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import AUTO, Guard, budget_and_guard
from holdfast.recipe import parse
from holdfast.train.attach import attach
from holdfast.train.trainers import KNOWN

logger = logging.getLogger("holdfast")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PluginOptions(Options):
    """What a plug-in attaches: the arguments of `holdfast.attach` as plain values.

    Recipe and budget are read at once, so that a mistake ends a run before its model is loaded.

    Raises:
        HoldfastError: There is nothing to attach, or a value has the wrong type or is out of range.
    """

    recipe: str | None = option("recipe to attach: a sum of methods, or auto", None, metavar="SUM")
    budget: dict[str, Any] = option("what may be lost, and how the guard acts: points, nll, on_spent, every ...", {})
    keep: tuple[str, ...] = option("what the guard watches: files or names of items and texts", (), metavar="FILE")
    learn: str | None = option("items or texts that show how much is learned", None, metavar="FILE")

    def __post_init__(self) -> None:
        """Checks every value."""
        super().__post_init__()
        if self.recipe is None and not self.budget:
            raise HoldfastError("The plug-in of Holdfast has nothing to attach: give a recipe, a budget, or both.")
        if self.recipe is not None and self.recipe != AUTO:
            parse(self.recipe)
        self.watching()
        if not self.budget:
            self._refuse_watching()

    def _refuse_watching(self) -> None:
        """Raises `HoldfastError` for an option that only a budget gives a meaning."""
        if self.recipe == AUTO:
            raise HoldfastError(
                "recipe: auto holds a run inside a budget, and there is none: give budget: {points: 2}."
            )
        for name in ("keep", "learn"):
            if getattr(self, name):
                raise HoldfastError(
                    f"{name}: is for the guard of a budget, and there is none: give budget: {{points: 2}}."
                )

    def watching(self) -> tuple[Budget | None, Guard | None]:
        """Returns the budget and the guard that watches it; None for both without a budget."""
        return budget_and_guard(self.budget) if self.budget else (None, None)


def attach_to(trainer: Trainer, options: PluginOptions, known: Iterable[str]) -> None:
    """Attaches what the options say, and logs what it was.

    Args:
        trainer: The trainer that the other package built.
        options: The options.
        known: Which parts of the trainer work as those of `transformers.Trainer` under its settings: "loss" (mean over
            the supervised tokens), "order" (a loader of single rows, in the order of a sampler).

    Raises:
        HoldfastError: Trainer and recipe do not fit together.
    """
    setattr(trainer, KNOWN, frozenset(known))
    budget, guard = options.watching()
    attach(trainer, options.recipe, budget, keep=options.keep or None, learn=options.learn, guard=guard)
    what = getattr(trainer, "holdfast_recipe", None)
    logger.warning(
        "Holdfast is attached to %s: recipe %s, %s.",
        type(trainer).__mro__[2].__name__,
        what if options.recipe is not None else "none",
        f"budget {budget}" if budget is not None else "no budget, so nothing is watched",
    )
