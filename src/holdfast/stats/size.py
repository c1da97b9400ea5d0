"""The size of a change, apart from its certainty: the least of interest, the least that is visible, and words."""

from __future__ import annotations

import math
from typing import Literal

from scipy import stats

LEAST = {"points": 0.5, "nats": 0.01}
"""The default for the least change of interest: half a point of right answers (one question in 200), and 0.01 nats per
token (one per cent of the perplexity). A certain change below it is tiny."""
FINE = {"points": 3.0, "nats": 0.05}
"""The loss that a suite should be able to detect: 3 points, which this field commonly calls forgetting, and 0.05 nats
per token (five per cent of the perplexity). If a suite could not detect it, finding no change proves nothing."""

DriftSize = Literal["tiny", "small", "moderate", "large"]
DRIFTS: tuple[tuple[float, DriftSize], ...] = ((0.01, "tiny"), (0.1, "small"), (math.log(2), "moderate"))
"""Upper limits of the drift for each word; above the last the drift is large. `exp(drift)` is the factor, in the
geometric mean, by which the base's tokens become less likely under the tuned model: below 0.01 it is one per cent,
below 0.1 a tenth, and from ln 2 on the base's tokens are on average less than half as likely as before."""

CHANCE, ONE_SIDED, TWO_SIDED = 0.8, 0.95, 0.975
"""The power and the confidence of the one-sided test for a loss, and the confidence of one end of an interval."""


def drift_size(nats_per_token: float) -> DriftSize:
    """Returns the word for a divergence KL(base || tuned) in nats per token."""
    for below, word in DRIFTS:
        if nats_per_token < below:
            return word
    return "large"


def could_see(low: float, high: float) -> float:
    """Returns the least loss that a test detects with a chance of 80%, from the ends of a two-sided 95% interval.

    It is (z(.95) + z(.8)) / z(.975) = 1.27 times half of the interval's width.
    """
    share = (stats.norm.ppf(ONE_SIDED) + stats.norm.ppf(CHANCE)) / stats.norm.ppf(TWO_SIDED)
    return float(share) * (high - low) / 2
