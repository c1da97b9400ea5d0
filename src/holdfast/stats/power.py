"""The number of items that a claim needs, and the smallest loss that a number of items can prove."""

from __future__ import annotations

import math

from scipy import stats

CONFIDENCE = 0.95
"""Confidence of the one-sided bounds."""
CHANCE = 0.8
"""Power: the chance that the advised number of items settles the question, if the change seen or assumed is true."""


def times_needed(statistic: float) -> float:
    """Returns the factor on the number of items that settles a claim with a chance of 80%.

        ((z(.95) + z(.8)) / statistic)^2

    Args:
        statistic: Distance between the change and the allowed loss, in standard errors of the present items.

    Reference:
        Richard J. Connor, "Sample size for testing differences in proportions for the paired-sample design",
        Biometrics 43, 1987, with the margin of non-inferiority as the difference to be seen.
    """
    return (_reach() / statistic) ** 2 if statistic else math.inf


def items_needed(allowed: float, discordance: float) -> int:
    """Returns the number of independent items that prove a loss within the allowed one, if nothing is lost.

        n = p ((z(.95) + z(.8)) / m)^2

    Args:
        allowed: The allowed loss `m`, as a share: 0.02 for two points.
        discordance: Share `p` of the items whose answer flips, half of them in each direction.

    Raises:
        ValueError: A share is out of range.
    """
    _check(allowed, "allowed")
    _check(discordance, "discordance")
    return max(1, math.ceil(times_needed(allowed / math.sqrt(discordance))))


def least_provable(items: float, discordance: float) -> float:
    """Returns the smallest loss, as a share, that a number of items can exclude, if nothing is lost.

        m = (z(.95) + z(.8)) sqrt(p / n)

    Args:
        items: Number of independent items.
        discordance: Share `p` of the items whose answer flips, half of them in each direction.

    Raises:
        ValueError: There is no item, or the share is out of range.
    """
    if not items > 0:
        raise ValueError(f"items {items}: give at least one.")
    _check(discordance, "discordance")
    return _reach() * math.sqrt(discordance / items)


def _reach() -> float:
    return float(stats.norm.ppf(CONFIDENCE) + stats.norm.ppf(CHANCE))


def _check(share: float, name: str) -> None:
    if not 0 < share <= 1:
        raise ValueError(f"{name} {share}: give a share above 0 and at most 1.")
