"""The settings of a guard, which watches a budget while a model trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

from holdfast.core.budget import Budget, check_fields, check_number, check_word
from holdfast.core.errors import HoldfastError

OnSpent = Literal["rewind", "steer", "stop", "hold", "log"]

GOES_BACK: tuple[OnSpent, ...] = ("rewind", "steer")
"""What a guard does that may go back to an earlier model, and takes the best learner inside the budget at the end."""

AUTO = "auto"
"""The word for the recipe that a plan would choose, which the guard then steers."""

FLAT = ("on_spent", "every", "share", "items")
"""Fields of a guard that `--budget` accepts besides those of the budget; other flags set the rest."""


@dataclasses.dataclass(frozen=True)
class Guard:
    """How often a guard looks at the model, how much it asks, and what it does when the budget is spent.

    Attributes:
        on_spent: What the guard does when the budget is spent: "rewind" goes back to the best learner that was inside
            the budget and continues from there at half the learning rate, four times, and takes the best learner at
            the end; "steer" does not wait until then: from step to step it adjusts the strength of the penalty to the
            base model, the share of old examples in the loss and the learning rate, so that the loss stays inside the
            budget, and where it does not, goes back (`holdfast.train.controller`); "stop" ends the training and keeps
            the weights as they are; "hold" continues and raises the penalty to the base model, the added terms of the
            recipe; "log" reports it and does nothing else.
        every: Optimizer steps between two looks; if absent, the guard times the first steps and chooses it by `share`.
        share: Largest share of the training time that looks may take if `every` is absent. A short run gets one look
            at its end, even if that takes more. The guard reports the time in any case.
        items: Most kept items and texts that one look asks; for the task, a quarter of this number.
        raw: Whether items are asked without the chat template.
        batch_tokens: Most tokens of a batch of a look, padding included; usually 8192 if absent.

    Raises:
        HoldfastError: A value is out of range; the message names the field and the values it accepts.
    """

    on_spent: OnSpent = "rewind"
    every: int | None = None
    share: float = 0.05
    items: int = 512
    raw: bool = False
    batch_tokens: int | None = None

    def __post_init__(self) -> None:
        """Raises `HoldfastError` for a value out of range."""
        check_word("Guard", "on_spent", self.on_spent, get_args(OnSpent))
        if self.share is None:
            raise HoldfastError("Guard(share=None): give a number above 0 and up to 0.9 (share of the training time).")
        check_number("Guard", "share", self.share, "share of the training time", 0.9)
        for name, unit in (("every", "steps"), ("items", "items"), ("batch_tokens", "tokens")):
            value = getattr(self, name)
            if name != "items" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise HoldfastError(f"Guard({name}={value!r}): give a whole number of {unit}, at least 1.")


def steering(guard: Guard) -> Guard:
    """Returns a guard that steers, for the recipe `auto`; one that does not go back by itself stays as it is."""
    return dataclasses.replace(guard, on_spent="steer") if guard.on_spent == "rewind" else guard


def budget_and_guard(values: Mapping[str, Any]) -> tuple[Budget, Guard]:
    """Returns the budget and the guard of one flat mapping, as in `--budget points=2 on_spent=stop`.

    Raises:
        HoldfastError: A field is unknown (the sentence names the nearest), or a value is out of range.
    """
    promise = [field.name for field in dataclasses.fields(Budget)]
    check_fields("Budget", values, [*promise, *FLAT])
    return (
        Budget(**{name: value for name, value in values.items() if name in promise}),
        Guard(**{name: value for name, value in values.items() if name not in promise}),
    )
