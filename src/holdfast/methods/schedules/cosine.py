"""Cosine: the learning rate falls along half a cosine."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar

from holdfast.core.method import Method, State
from holdfast.core.run import Step
from holdfast.core.settings import setting


def cosine(progress: float, floor: float = 0.0) -> float:
    """Returns the factor `floor + (1 - floor) * (1 + cos(pi * progress)) / 2`; 1 at progress 0, `floor` at 1."""
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


@dataclasses.dataclass(frozen=True, repr=False)
class Cosine(Method):
    """Lowers the learning rate along half a cosine.

        factor(s) = floor + (1 - floor) * (1 + cos(pi * s / S)) / 2

    for step s of S, counted from 0.

    Args:
        floor: Factor at the end of the run.

    Reference:
        Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017, arXiv 1608.03983, eq. 5.

    Confidence:
        text: The equation is from memory of the paper, and every trainer has it.

    Cost:
        Nothing.

    Departs:
        There are no restarts. With Warmup, the cosine still counts from the first step, because the factors of
        schedules multiply; in transformers it starts after the warm-up.
    """

    floor: float = setting(0.0, unit="share of lr", low=0.0, high=1.0)

    once: ClassVar[str] = "two cosines would multiply; give Cosine() once."
    excludes: ClassVar[Mapping[str, str]] = {
        "Finch": "Finch replaces the cosine: it sets the rate from the loss and lets it rise as the loss falls.",
    }

    def scale_lr(self, state: State, step: Step) -> float:
        """Returns `cosine(progress)`."""
        return cosine(step.progress, self.floor)
