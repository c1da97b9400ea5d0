"""What a trial costs in plain runs, by formula or by measured times, before it begins.

    cost = fidelity * (epochs / plain epochs) * factor,   factor = (1 + B r / 3 + G) / (1 - s)

with s the share of old examples among the tokens, which come on top of the new ones, B = 1 if the recipe compares with
the base, r the share of the tokens at which it does, and G = 1 if it computes another gradient beside the step's. A
forward of the base takes a third of a step (a forward costs 2 N operations per token and a backward 4 N: Kaplan et al.
2001.08361, section 2.1). Adapters and frozen layers make steps cheaper; the formula does not count on that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from holdfast.bench.fit.trials import Candidate
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain
from holdfast.core.settings import value_of

FORWARD = 1 / 3
"""Share of a training step that one forward takes."""
MOST_OLD = 0.95
"""Largest share of old examples that a recipe may have."""


def step_factor(recipe: Chain) -> float:
    """Returns the time of a run in times of a plain run with as many epochs, by the formula.

    Raises:
        HoldfastError: The recipe writes at every step, so that no formula tells its time.
    """
    active = recipe.active()
    if writers := [type(part).__name__ for part in active.parts() if part.uses("renew_batches")]:
        raise HoldfastError(
            f"{', '.join(writers)} writes its batches at every step, and no formula tells what that costs; time it with"
            " `holdfast plan`, or leave it out of the search."
        )
    parts = [part for part in active.parts() if part.uses("mix_data") or value_of(part, "memory")]
    old = min(sum(float(getattr(part, "ratio", 0.0)) for part in parts), MOST_OLD)
    compared = old if active.compares_on == "memory" else 1.0
    needs = active.needs
    beside = bool(needs.asks & {"gradient", "base_gradient"})
    return (1.0 + FORWARD * compared * needs.base_fields + beside) / (1.0 - old)


@dataclasses.dataclass(frozen=True)
class Prices:
    """Prices of trials.

    Attributes:
        plain_epochs: Epochs of the plain run that is the unit.
        measured: Times of whole runs, in times of a plain run with as many epochs, by recipe without `Train`; measured
            ones replace the formula.
    """

    plain_epochs: float
    measured: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def of(self, candidate: Candidate, fidelity: float) -> float:
        """Returns the cost of a trial that takes all its steps, in plain runs.

        Raises:
            HoldfastError: As `step_factor` does.
        """
        factor = self.measured.get(candidate.recipe)
        factor = step_factor(candidate.chain()) if factor is None else factor
        return fidelity * candidate.epochs / self.plain_epochs * factor
