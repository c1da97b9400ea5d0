"""Token quality: the learning rate follows how typical the batch's tokens are, of the model and of the base."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar

import torch

from holdfast.core.method import Method, State
from holdfast.core.run import Run, Step
from holdfast.core.settings import setting


def token_quality(tuned: float, base: float, share: float = 0.5) -> float:
    """Returns the quality of a batch, `tuned^(1 - share) base^share`, of its mean typicalities, each from 0 to 1."""
    return float(tuned ** (1.0 - share) * base**share)


@dataclasses.dataclass(frozen=True, repr=False)
class TokenQuality(Method):
    """Scales the learning rate by the quality of the step's tokens.

        t_i = exp(-max(0, -log p(y_i) - H(p_i)))                   typicality of a token under the model
        q_s = mean_i(t_i)^(1 - base) * mean_i(t_i^b)^base          t^b the same under the base
        Q_s = decay * Q_{s-1} + (1 - decay) * q_s,  Q_0 = q_0
        eta_s = eta * (floor + (1 - floor) * Q_s^power)

    p_i is the model's prediction at a new token, y_i its label, H the entropy. A label that surprises no more than the
    model expects to be surprised (where several things may follow) has quality 1, however unlikely it is; one that
    contradicts a confident prediction has almost none. Learning the first adds to what is known, learning the second
    overwrites it, and a large step there is what forgetting is made of. As the model comes to agree with its tokens,
    the rate rises by itself; what the base contradicts keeps it below.

    Args:
        base: Weight of the base's judgement against the model's own (0 = the model alone, 1 = the base alone).
        power: Exponent of the quality: how strongly the rate follows it.
        floor: Least factor on the rate.
        decay: Smoothing constant of the quality over steps.

    Reference:
        None: our own design. Its parts: the expected surprise as the measure of a typical token, Meister et al.,
        Locally Typical Sampling, 2022, arXiv 2202.00666; confident conflicts as what forgets, arXiv 2601.02151 (EAFT).

    Confidence:
        own: Our own rule; only its parts are published.

    Cost:
        One forward of the base. With `base=0` too, since the base is asked for all the same.

    Departs:
        From Finch, which follows the loss: a high loss where nothing is known (high entropy) is no reason to go slowly
        here, and a moderate one against a confident base is. The rate is the batch's; weighing each token is EAFT's
        way. Whether it forgets less than Finch at equal learning has not been measured yet.
    """

    base: float = setting(0.5, unit="share", low=0.0, high=1.0, search=(0.0, 1.0))
    power: float = setting(1.0, unit="1", low=0.0, search=(0.5, 3.0))
    floor: float = setting(0.1, unit="factor on lr", low=0.0, high=1.0, search=(0.0, 0.5))
    decay: float = setting(0.9, unit="1", low=0.0, high=0.9999, search=(0.5, 0.99))

    means: ClassVar[frozenset[str]] = frozenset({"typicality_N", "base_typicality_N"})
    once: ClassVar[str] = "two of them would multiply; give TokenQuality() once."
    excludes: ClassVar[Mapping[str, str]] = {
        "Finch": "both set the rate from the batch's tokens; choose one.",
    }

    def init_state(self, run: Run) -> State:
        """Returns the empty average: NaN until the first tokens are seen."""
        return {"quality": torch.tensor(math.nan, dtype=torch.float64)}

    def scale_lr(self, state: State, step: Step) -> float:
        """Moves the average by this step's quality and returns the factor."""
        tuned, base = step.means["typicality_N"], step.means["base_typicality_N"]
        mean = float(state["quality"])
        if math.isfinite(tuned) and math.isfinite(base):
            quality = token_quality(tuned, base, self.base)
            mean = quality if math.isnan(mean) else self.decay * mean + (1.0 - self.decay) * quality
            state["quality"] = torch.tensor(mean, dtype=torch.float64)
        return 1.0 if math.isnan(mean) else self.floor + (1.0 - self.floor) * mean**self.power
