"""The declared needs of methods: what a trainer must prepare for them."""

from __future__ import annotations

import dataclasses
from typing import Literal

Ask = Literal["start", "gradient", "base_gradient", "run_gradient"]
"""Requests of a method to the trainer, besides fields of `Tokens`.

    "start"            step.start: the trained weights as they were before training
    "gradient"         step.gradient: the gradient of a term on another batch, at a step
    "base_gradient"    step.gradient of a term that reads fields of the base
    "run_gradient"     run.gradient: the gradient of a term before training, in `init_state`
"""


@dataclasses.dataclass(frozen=True)
class Needs:
    """The needs of one method, or of all methods of a sum; `Method` documents the fields."""

    reads: frozenset[str] = frozenset()
    means: frozenset[str] = frozenset()
    sees: frozenset[str] = frozenset()
    asks: frozenset[Ask] = frozenset()

    def __or__(self, other: Needs) -> Needs:
        """Returns the union of two needs."""
        return Needs(self.reads | other.reads, self.means | other.means, self.sees | other.sees, self.asks | other.asks)

    @property
    def fields(self) -> frozenset[str]:
        """All fields of `Tokens` that are needed."""
        return self.reads | self.means | self.sees

    @property
    def base_fields(self) -> bool:
        """Whether a field of the base is needed for the step's own tokens."""
        return any(field.startswith("base_") for field in self.fields)

    @property
    def base(self) -> bool:
        """Whether the base is needed, for the step's tokens or for the gradient of a term on another batch."""
        return self.base_fields or "base_gradient" in self.asks
