"""Warmup: the learning rate rises linearly at the start."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from holdfast.core.method import Method, State
from holdfast.core.run import Step
from holdfast.core.settings import setting


def warmup(index: int, total: int, ratio: float) -> float:
    """Returns `min(1, (index + 1) / (ratio * total))`; always 1 if `ratio * total` is below one step."""
    steps = ratio * total
    return 1.0 if steps < 1.0 else min(1.0, (index + 1) / steps)


@dataclasses.dataclass(frozen=True, repr=False)
class Warmup(Method):
    """Raises the learning rate along a ramp at first.

    Multiplies the learning rate by a ramp over the first share of the run.

        factor(s) = min(1, (s + 1) / (ratio * S))

    for step s of S, counted from 0.

    Args:
        ratio: Share of the run's steps that the ramp takes.

    Reference:
        Goyal et al., Accurate, Large Minibatch SGD, 2017, arXiv 1706.02677, section 2.2 (gradual warmup).

    Confidence:
        text: The ramp is from memory of the paper, and every trainer has it.

    Cost:
        Nothing.

    Departs:
        The ramp begins at 1/(ratio * S), not at 0. The warm-up of transformers has a rate of zero in its first step.
    """

    ratio: float = setting(0.03, unit="share of the run", low=0.0, high=1.0, search=(0.0, 0.1))

    once: ClassVar[str] = "two ramps would multiply; give Warmup() once."

    @property
    def off(self) -> bool:
        """Whether there is no ramp."""
        return self.ratio == 0.0

    def scale_lr(self, state: State, step: Step) -> float:
        """Returns `warmup(index, total, ratio)`."""
        return warmup(step.index, step.total, self.ratio)
