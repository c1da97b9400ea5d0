"""The budget: what may be lost, in units that are said, and what is done about it while training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, Self, get_args

from holdfast.core.errors import HoldfastError, nearest

Claim = Literal["mean", "every"]
OnSpent = Literal["rewind", "stop", "hold", "log"]


@dataclasses.dataclass(frozen=True)
class Budget:
    """What may be lost of what a model could do before.

    Attributes:
        points: Fall that is allowed in suites of items, in percent of right answers.
        nll: Rise that is allowed in the negative log-likelihood of texts, in nats per token.
        claim: What "kept" says: that the mean of the suites is within the budget and none is shown to be beyond it
            ("mean"), or that every single suite is shown to be within it ("every"), which takes more items.
        keep: What a guard watches while training (`attach`): a path, hub id or name of items or texts, rows, prepared
            `Example`s or `Item`s, or several paths. Of items only those on the watched side are asked.
        learn: What shows it how much is learned, likewise; absent, a later model counts as a better learner.
        on_spent: What the guard does when the budget is spent: "rewind" goes back to the best learner that was inside
            the budget and on from there at half the learning rate, four times, and takes the best learner at the end;
            "stop" ends the training and keeps the weights as they are; "hold" goes on and raises the leash, the added
            terms of the recipe; "log" says it and no more.
        every: Optimizer steps between two looks; absent, as many as `share` asks for, measured over the first steps.
        share: Most of the training time that looking may take, where `every` is absent; a run so short that one look at
            the end takes more is looked at once. What it took is said in any case.
        items: Most items and texts of what is to be kept that are asked at a look; of what is learned, a quarter of it.

    Raises:
        HoldfastError: For a budget that cannot be held; names the field and what is accepted.
    """

    points: float | None = None
    nll: float | None = None
    claim: Claim = "mean"
    keep: Any = None
    learn: Any = None
    on_spent: OnSpent = "rewind"
    every: int | None = None
    share: float = 0.05
    items: int = 512

    def __post_init__(self) -> None:
        """Raises `HoldfastError` for a budget that cannot be held."""
        self._check_words()
        self._check_limits()
        self._check_counts()

    def _check_words(self) -> None:
        for name, kind in (("claim", Claim), ("on_spent", OnSpent)):
            if getattr(self, name) not in get_args(kind):
                *some, last = map(repr, get_args(kind))
                raise HoldfastError(f"Budget({name}={getattr(self, name)!r}): give {', '.join(some)} or {last}.")

    def _check_limits(self) -> None:
        if self.points is None and self.nll is None:
            raise HoldfastError(
                "Budget(): say what may be lost: points=2 (percent of right answers) or nll=0.02 (nats per token)."
            )
        for name, unit, most in (
            ("points", "points that may be lost", 100.0),
            ("nll", "nats per token that may be lost", math.inf),
            ("share", "share of the training time", 0.9),
        ):
            value = getattr(self, name)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (is_number and 0 < value <= most and math.isfinite(value)):
                below = "" if math.isinf(most) else f" and up to {most:g}"
                raise HoldfastError(f"Budget({name}={value!r}): give a number above 0{below} ({unit}).")

    def _check_counts(self) -> None:
        for name, unit, least in (("every", "steps", 1), ("items", "items", 1)):
            value = getattr(self, name)
            if name == "every" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise HoldfastError(f"Budget({name}={value!r}): give a whole number of {unit}, at least {least}.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Returns the budget with these fields, as a command line or a YAML file gives them.

        Raises:
            HoldfastError: If a field is unknown (the nearest is named), or a value is wrong.
        """
        known = tuple(field.name for field in dataclasses.fields(cls) if field.name not in ("keep", "learn"))
        for name in values:
            if name not in known:
                raise HoldfastError(f"Budget has no {name!r}; use {', '.join(known)}.{nearest(name, known)}")
        return cls(**values)

    @property
    def limits(self) -> dict[str, float]:
        """Returns what is allowed, by unit: "points" and "nats"."""
        return {unit: limit for unit, limit in (("points", self.points), ("nats", self.nll)) if limit is not None}

    def __str__(self) -> str:
        """Returns the budget in words: "2 points, 0.02 nats per token"."""
        said = [f"{self.points:g} point{'' if self.points == 1 else 's'}"] if self.points is not None else []
        said += [f"{self.nll:g} nats per token"] if self.nll is not None else []
        return ", ".join(said)
