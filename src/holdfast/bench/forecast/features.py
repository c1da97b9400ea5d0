"""The features of a short run: the numbers from which a forecast is made."""

from __future__ import annotations

import math
from collections.abc import Mapping

from holdfast.bench.forecast.looked import Reading
from holdfast.bench.forecast.short_run import ShortRun

LEAST = 1e-5
"""Added to a divergence in nats per token before its logarithm is taken: half as much is rounding."""
FEATURES = {
    "drift on what is kept": "log KL per token on the right answers of what is kept, in the mean of the suites",
    "drift of the worst suite": "the same on the suite where it is largest",
    "drift on task prompts": "log KL per token on the prompts of the data; on its answers if rows have no prompts",
    "change of states": "log of the relative change of the last hidden states, on what is kept",
    "task surprise left": "log NLL per learned token of the data after the short run",
    "rate ahead": "log of the sum of all learning rates of the run over that of the short run",
    "old share": "share of old examples in the supervised tokens",
    "held": "1 if the recipe compares the model with its base while it trains, else 0",
    "adapter": "1 if an adapter trains, else 0",
}
"""What each feature is; logarithms are natural, divergences and likelihoods in nats."""


def logit(value: float) -> float:
    """Returns the log odds of (v + 1) / 102 for v points, 0 to 100; values outside count as the nearest end."""
    share = (min(max(value, 0.0), 100.0) + 1.0) / 102.0
    return math.log(share / (1.0 - share))


def drift_by_suite(reading: Reading) -> dict[str, float]:
    """Returns KL(base || tuned) in nats per token on each suite that is kept."""
    return {name: max(shift.kl, 0.0) / shift.tokens for name, shift in reading.suites.items() if shift.tokens}


def features_of(short: ShortRun) -> dict[str, float]:
    """Returns the features of a short run, by their names in `FEATURES`.

    Raises:
        ValueError: Nothing that is kept was read, or no token of the data is learned.
    """
    drift, answers = drift_by_suite(short.reading), short.reading.answers
    if not drift or not answers.tokens:
        raise ValueError("a forecast needs something to keep and something to learn")
    prompts = short.reading.prompts if short.reading.prompts.tokens else answers
    moved = sum(shift.moved for shift in short.reading.suites.values())
    size = sum(shift.size for shift in short.reading.suites.values())
    return {
        "drift on what is kept": math.log(sum(drift.values()) / len(drift) + LEAST),
        "drift of the worst suite": math.log(max(drift.values()) + LEAST),
        "drift on task prompts": math.log(max(prompts.kl, 0.0) / prompts.tokens + LEAST),
        "change of states": 0.5 * math.log(moved / size + LEAST**2) if size else math.nan,
        "task surprise left": math.log(answers.after / answers.tokens + LEAST),
        "rate ahead": math.log(short.run_rates / short.rates),
        "old share": short.old,
        "held": float(short.holds),
        "adapter": float(short.adapts),
    }


def fall_by_suite(reading: Reading) -> dict[str, float]:
    """Returns the fall of the probability of right answers on each suite that is kept, in points.

    It is what the suite would lose after the short run if the model drew its answers at random.
    """
    return {name: shift.fall for name, shift in reading.suites.items() if shift.tokens}


def first_to_go(fall: Mapping[str, float], count: int) -> list[str]:
    """Returns the suites with the largest fall, worst first."""
    return sorted(fall, key=lambda name: (-fall[name], name))[:count]
