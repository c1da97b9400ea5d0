"""The budget: the loss that is allowed, in named units."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, Self, get_args

from holdfast.core.errors import HoldfastError, nearest

Claim = Literal["mean", "every"]

MOVED = {"keep": "attach", "learn": "attach", **dict.fromkeys(("on_spent", "every", "share", "items"), "Guard")}
"""Fields that `Budget` does not take, each with the place that takes it."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """The loss that a model is allowed, measured against the model before training.

    Attributes:
        points: Allowed fall of suites of items, in points (percent of right answers).
        nll: Allowed rise of the negative log-likelihood of texts, in nats per token.
        claim: What "kept" states: that the mean of the suites is within the budget and no suite is shown to be beyond
            it ("mean"), or that every single suite is shown to be within it ("every"), which takes more items.

    Raises:
        HoldfastError: A value is out of range; the message names the field and the values it accepts.
    """

    points: float | None = None
    nll: float | None = None
    claim: Claim = "mean"

    def __new__(cls, *values: Any, **fields: Any) -> Self:
        """Raises `HoldfastError` for a field that `attach` or `Guard` takes, and names the place."""
        for name, place in MOVED.items():
            if name in fields:
                raise HoldfastError(f"Budget({name}=...): say what may be lost here, and give {place}({name}=...).")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        """Raises `HoldfastError` for a value out of range."""
        if self.points is None and self.nll is None:
            raise HoldfastError(
                "Budget(): say what may be lost: points=2 (percent of right answers) or nll=0.02 (nats per token)."
            )
        check_word("Budget", "claim", self.claim, get_args(Claim))
        check_number("Budget", "points", self.points, "points that may be lost", 100.0)
        check_number("Budget", "nll", self.nll, "nats per token that may be lost")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Returns the budget with these fields, as a command line or a YAML file gives them.

        Raises:
            HoldfastError: A field is unknown (the sentence names the nearest), or a value is out of range.
        """
        check_fields("Budget", values, [field.name for field in dataclasses.fields(cls)])
        return cls(**values)

    @property
    def limits(self) -> dict[str, float]:
        """Returns the allowed loss by unit, "points" and "nats"."""
        return {unit: limit for unit, limit in (("points", self.points), ("nats", self.nll)) if limit is not None}

    def __str__(self) -> str:
        """Returns the budget in words: "2 points, 0.02 nats per token"."""
        words = [f"{self.points:g} point{'' if self.points == 1 else 's'}"] if self.points is not None else []
        words += [f"{self.nll:g} nats per token"] if self.nll is not None else []
        return ", ".join(words)


def check_fields(record: str, values: Mapping[str, Any], known: list[str]) -> None:
    """Raises `HoldfastError` for the first name that is not a known field; the sentence names the nearest."""
    for name in values:
        if name not in known:
            raise HoldfastError(f"{record} has no {name!r}; use {', '.join(known)}.{nearest(name, known)}")


def check_word(record: str, field: str, value: object, words: tuple[str, ...]) -> None:
    """Raises `HoldfastError` for a value that is not one of `words`."""
    if value not in words:
        *others, last = map(repr, words)
        raise HoldfastError(f"{record}({field}={value!r}): give {', '.join(others)} or {last}.")


def check_number(record: str, field: str, value: Any, meaning: str, most: float = math.inf) -> None:
    """Raises `HoldfastError` for a value that is neither None nor a number above 0 and at most `most`."""
    if value is None:
        return
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (is_number and 0 < value <= most and math.isfinite(value)):
        limit = "" if math.isinf(most) else f" and up to {most:g}"
        raise HoldfastError(f"{record}({field}={value!r}): give a number above 0{limit} ({meaning}).")
