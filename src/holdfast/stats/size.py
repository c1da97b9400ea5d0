"""How large a change is, beside whether it is certain: what is of interest, what could be seen, and how far is far."""

from __future__ import annotations

import math
from typing import Literal

from scipy import stats

LEAST = {"points": 0.5, "nats": 0.01}
"""The least change that is of interest, where nobody said another: half a point of right answers (one question in 200),
and 0.01 nats per token (one per cent of the perplexity). A certain change below it is tiny."""
FINE = {"points": 3.0, "nats": 0.05}
"""The loss that a suite should be able to show: 3 points, from which on this field commonly speaks of forgetting, and
0.05 nats per token (five per cent of the perplexity). A suite that could not show it shows nothing by its silence."""

DriftSize = Literal["tiny", "small", "moderate", "large"]
DRIFTS: tuple[tuple[float, DriftSize], ...] = ((0.01, "tiny"), (0.1, "small"), (math.log(2), "moderate"))
"""Drift below which it has a size; above the last it is large. `exp(drift)` is how many times less likely, in the
geometric mean, the tuned model finds each token that the base would say: below 0.01 that is one per cent, below 0.1 a
tenth, and from ln 2 on the base's own words are on average less than half as likely as they were."""

CHANCE, ONE_SIDED, TWO_SIDED = 0.8, 0.95, 0.975
"""A loss is seen if a one-sided test at 5% says so with a chance of 80%; intervals are two-sided."""


def drift_size(nats_per_token: float) -> DriftSize:
    """Returns the size of a divergence KL(base || tuned) in nats per token, in a word."""
    for below, word in DRIFTS:
        if nats_per_token < below:
            return word
    return "large"


def could_see(low: float, high: float) -> float:
    """Returns the least loss that would be told from none with a chance of 80%, by a two-sided 95% interval.

    It is (z(.95) + z(.8)) / z(.975) = 1.27 times half of the interval's width.
    """
    share = (stats.norm.ppf(ONE_SIDED) + stats.norm.ppf(CHANCE)) / stats.norm.ppf(TWO_SIDED)
    return float(share) * (high - low) / 2
