"""The budget: what may be lost, in units that are said."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, Self, get_args

from holdfast.core.errors import HoldfastError, nearest

Claim = Literal["mean", "every"]


@dataclasses.dataclass(frozen=True)
class Budget:
    """What may be lost of what a model could do before.

    Attributes:
        points: Fall that is allowed in suites of items, in percent of right answers.
        nll: Rise that is allowed in the negative log-likelihood of texts, in nats per token.
        claim: What "kept" says: that the mean of the suites is within the budget and none is shown to be beyond it
            ("mean"), or that every single suite is shown to be within it ("every"), which takes more items.
        keep: Path, hub id, rows or prepared `Example`s of texts that a guard watches while training (`attach`).
        every: Optimizer steps between two looks of the guard.

    Raises:
        HoldfastError: For a budget that cannot be held; names the field and what is accepted.
    """

    points: float | None = None
    nll: float | None = None
    claim: Claim = "mean"
    keep: Any = None
    every: int = 50

    def __post_init__(self) -> None:
        """Raises `HoldfastError` for a budget that cannot be held."""
        if self.points is None and self.nll is None:
            raise HoldfastError(
                "Budget(): say what may be lost: points=2 (percent of right answers) or nll=0.02 (nats per token)."
            )
        for name, unit, most in (("points", "points", 100.0), ("nll", "nats per token", math.inf)):
            value = getattr(self, name)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (is_number and 0 < value <= most and math.isfinite(value)):
                below = "" if math.isinf(most) else f" and up to {most:g}"
                raise HoldfastError(
                    f"Budget({name}={value!r}): give a number above 0{below} ({unit} that may be lost)."
                )
        if self.claim not in get_args(Claim):
            raise HoldfastError(f"Budget(claim={self.claim!r}): give 'mean' or 'every'.")
        if isinstance(self.every, bool) or not isinstance(self.every, int) or self.every < 1:
            raise HoldfastError(f"Budget(every={self.every!r}): give a whole number of steps, at least 1.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Returns the budget with these fields, as a command line or a YAML file gives them.

        Raises:
            HoldfastError: If a field is unknown (the nearest is named), or a value is wrong.
        """
        known = ("points", "nll", "claim")
        for name in values:
            if name not in known:
                raise HoldfastError(f"Budget has no {name!r}; use {', '.join(known)}.{nearest(name, known)}")
        return cls(**values)

    def __str__(self) -> str:
        """Returns the budget in words: "2 points, 0.02 nats per token"."""
        said = [f"{self.points:g} point{'' if self.points == 1 else 's'}"] if self.points is not None else []
        said += [f"{self.nll:g} nats per token"] if self.nll is not None else []
        return ", ".join(said)
