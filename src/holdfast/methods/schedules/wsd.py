"""WSD: the learning rate rises, stays constant, and falls at the end."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method, State
from holdfast.core.run import Step
from holdfast.core.settings import setting
from holdfast.methods.schedules.warmup import warmup as ramp


def wsd(
    index: int, total: int, warmup: float = 0.03, cooldown: float = 0.2, floor: float = 0.0, shape: str = "1-sqrt"
) -> float:
    """Returns the factor on the learning rate for step `index` of `total`, counted from 0.

    Args:
        index: Steps done before this one.
        total: Steps of the whole run.
        warmup: Share of the run over which the factor rises to 1.
        cooldown: Share of the run, at its end, over which the factor falls again.
        floor: Factor that the fall reaches at step `total`, the first step after the run.
        shape: "1-sqrt", "linear" or "cosine".
    """
    steps = cooldown * total
    x = min(max((index - (total - steps)) / steps, 0.0), 1.0) if steps > 0 else 0.0
    left = {"1-sqrt": 1.0 - math.sqrt(x), "linear": 1.0 - x, "cosine": 0.5 * (1.0 + math.cos(math.pi * x))}[shape]
    return ramp(index, total, warmup) * (floor + (1.0 - floor) * left)


@dataclasses.dataclass(frozen=True, repr=False)
class WSD(Method):
    """Keeps the learning rate high until a late fall.

    Multiplies the learning rate by a ramp, a plateau and a fall (warm-up, stable, decay).

        factor(s) = min(1, (s + 1) / (warmup * S)) * (floor + (1 - floor) * f(x))
        x = (s - (1 - cooldown) * S) / (cooldown * S)

    for step s of S, counted from 0. x is clamped to [0, 1], and f is 1 - sqrt(x), 1 - x or half a cosine.

    Args:
        warmup: Share of the run's steps that the rise takes.
        cooldown: Share of the run's steps that the fall takes, at the end.
        floor: Factor at the end of the fall, just after the last step.
        shape: Shape of the fall: "1-sqrt", "linear" or "cosine".

    Reference:
        Hu et al., MiniCPM: Unveiling the Potential of Small Language Models with Scalable Training Strategies, 2024,
        arXiv 2404.06395, eq. 1; the 1-sqrt fall over a fifth of the run from Hägele et al., Scaling Laws and
        Compute-Optimal Training Beyond Fixed Training Durations, 2024, arXiv 2405.18392.

    Confidence:
        code: The shapes are those of transformers; the constants of MiniCPM are from memory.

    Cost:
        Nothing.

    Departs:
        MiniCPM's fall is exponential over a tenth of the run; the shapes here are those of "warmup stable decay" in
        transformers. The ramp begins at 1/(warmup * S), not at 0, and the floor does not raise it (transformers lifts
        both ends to the floor). The warm-up constants are ours. We do not know whether the plateau forgets less or more
        than a cosine in fine-tuning.
    """

    warmup: float = setting(0.03, unit="share of the run", low=0.0, high=1.0, search=(0.0, 0.1))
    cooldown: float = setting(0.2, unit="share of the run", low=0.0, high=1.0, search=(0.05, 0.5))
    floor: float = setting(0.0, unit="share of lr", low=0.0, high=1.0)
    shape: str = setting("1-sqrt", unit="shape", choices=("1-sqrt", "linear", "cosine"))

    once: ClassVar[str] = "two of them would multiply; give WSD() once."
    excludes: ClassVar[Mapping[str, str]] = {
        "Cosine": "both let the rate fall to the end of the run; give one of the two.",
        "Warmup": "WSD has its own warm-up: set WSD(warmup=...).",
        "Finch": "Finch sets the rate from the loss and lets it rise as the loss falls; give one of the two.",
    }

    def __post_init__(self) -> None:
        """Checks the settings; the fall must not begin before the end of the rise."""
        super().__post_init__()
        if self.warmup + self.cooldown > 1.0 + 1e-12:
            raise HoldfastError(
                f"WSD(warmup={self.warmup!r}, cooldown={self.cooldown!r}): together they are longer than the run;"
                " give shares that add up to at most 1."
            )

    def scale_lr(self, state: State, step: Step) -> float:
        """Returns `wsd(index, total, ...)`."""
        return wsd(step.index, step.total, self.warmup, self.cooldown, self.floor, self.shape)
