"""How many items a claim needs, and how small a loss a number of items can prove, before training and after."""

from __future__ import annotations

import math

from scipy import stats

CONFIDENCE = 0.95
"""Confidence of the one-sided bounds."""
CHANCE = 0.8
"""Power: the chance that the advised number of items settles the question, if the change seen or assumed is true."""


def times_needed(statistic: float) -> float:
    """Returns how many times as many items settle a claim with a chance of 80%.

        ((z(.95) + z(.8)) / statistic)^2

    Args:
        statistic: How many standard errors of the items that there are lie between the change and what is allowed.

    Reference:
        Richard J. Connor, "Sample size for testing differences in proportions for the paired-sample design",
        Biometrics 43, 1987, with the margin of non-inferiority as the difference to be seen.
    """
    return (_reach() / statistic) ** 2 if statistic else math.inf


def items_needed(allowed: float, discordance: float) -> int:
    """Returns how many independent items show that a loss is within what is allowed, if nothing is lost.

        n = p ((z(.95) + z(.8)) / m)^2

    Args:
        allowed: The loss `m` that is allowed, as a share: 0.02 for two points.
        discordance: Share `p` of the items whose answer flips, half of them either way.

    Raises:
        ValueError: If a share is out of range.
    """
    _check(allowed, "allowed")
    _check(discordance, "discordance")
    return max(1, math.ceil(times_needed(allowed / math.sqrt(discordance))))


def least_provable(items: float, discordance: float) -> float:
    """Returns the smallest loss, as a share, that this number of items proves not to be exceeded, if nothing is lost.

        m = (z(.95) + z(.8)) sqrt(p / n)

    Args:
        items: Number of independent items.
        discordance: Share `p` of the items whose answer flips, half of them either way.

    Raises:
        ValueError: If there is no item, or the share is out of range.
    """
    if not items > 0:
        raise ValueError(f"items {items}: give at least one")
    _check(discordance, "discordance")
    return _reach() * math.sqrt(discordance / items)


def _reach() -> float:
    return float(stats.norm.ppf(CONFIDENCE) + stats.norm.ppf(CHANCE))


def _check(share: float, name: str) -> None:
    if not 0 < share <= 1:
        raise ValueError(f"{name} {share}: give a share above 0, and 1 at most")
