"""Token quality: the learning rate follows how typical the batch's tokens are under the model and the base."""

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
    """Returns the quality of a batch, `tuned^(1 - share) base^share`, from its mean typicalities in [0, 1]."""
    return float(tuned ** (1.0 - share) * base**share)


@dataclasses.dataclass(frozen=True, repr=False)
class TokenQuality(Method):
    """Scales the learning rate by the tokens' quality.

        t_i = exp(-max(0, -log p(y_i) - H(p_i)))                 typicality of a token under the model
        q_s = mean_i(t_i)^(1 - base) * mean_i(t_i^b)^base        t^b the same under the base
        Q_s = decay * Q_{s-1} + (1 - decay) * q_s,   Q_0 = q_0
        eta_s = eta * (floor + (1 - floor) * Q_s^power)

    p_i is the model's prediction at a new token, y_i its label, H the entropy. A label that surprises the model no more
    than its entropy predicts has quality 1, however unlikely the label is. A label that contradicts a confident
    prediction has a quality near 0. Learning the first kind adds to the model's knowledge; learning the second kind
    overwrites it, and large steps there cause forgetting. The rate rises by itself as the model comes to agree with its
    tokens; tokens that the base contradicts keep it lower.

    Args:
        base: Weight of the base's typicality against the model's own (0 = only the model, 1 = only the base).
        power: Exponent of the quality; with a higher power the rate follows the quality more strongly.
        floor: Least factor on the rate.
        decay: Smoothing constant of the quality over steps.

    Reference:
        None: this is our own design. Its parts are published: expected surprise as the measure of a typical token in
        Meister et al., Locally Typical Sampling, 2022, arXiv 2202.00666; confident conflicts as a cause of forgetting
        in arXiv 2601.02151 (EAFT).

    Confidence:
        own: The rule is our own; only its parts are published.

    Cost:
        One forward of the base. This holds for `base=0` too, because the base runs in any case.

    Departs:
        Finch follows the loss. Here, a high loss with high entropy does not lower the rate, and a moderate loss against
        a confident base does. The rate applies to the whole batch; EAFT weighs each token instead. At equal learning it
        forgot more than Finch of new facts in our study, and about as much of a domain and of labels; it learned a
        language that Finch did not (docs/which-method.md; one seed).
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
        """Returns the empty average: NaN until the first step with tokens."""
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
