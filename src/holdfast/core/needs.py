"""What methods need of a trainer beyond what is there anyway."""

from __future__ import annotations

import dataclasses
from typing import Literal

Ask = Literal["start", "gradient", "base_gradient", "run_gradient"]
"""What a method may request from the trainer beside fields of `Tokens`.

    "start"            step.start: the trained weights as they were before training
    "gradient"         step.gradient: the gradient of a term on another batch, at a step
    "base_gradient"    the same, where the term reads fields of the base
    "run_gradient"     run.gradient: such a gradient before training, in `init_state`
"""


@dataclasses.dataclass(frozen=True)
class Needs:
    """What one method declares, or all of a sum together; `Method` says what each field means."""

    reads: frozenset[str] = frozenset()
    means: frozenset[str] = frozenset()
    sees: frozenset[str] = frozenset()
    asks: frozenset[Ask] = frozenset()

    def __or__(self, other: Needs) -> Needs:
        """Returns what two need together."""
        return Needs(self.reads | other.reads, self.means | other.means, self.sees | other.sees, self.asks | other.asks)

    @property
    def fields(self) -> frozenset[str]:
        """Every field of `Tokens` among them."""
        return self.reads | self.means | self.sees

    @property
    def base_fields(self) -> bool:
        """Whether a field of the base is read on the step's own tokens."""
        return any(field.startswith("base_") for field in self.fields)

    @property
    def base(self) -> bool:
        """Whether the base is needed: for the step's tokens, or for a gradient beside the step."""
        return self.base_fields or "base_gradient" in self.asks
