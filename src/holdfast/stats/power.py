"""How many items a claim needs, and what so many items can tell: to be asked before anything is trained."""

from __future__ import annotations

import math

from scipy import optimize, stats

from holdfast.stats.verdict import CHANCE, CONFIDENCE


def items_needed(
    allowed: float, discordance: float, change: float = 0.0, *, confidence: float = CONFIDENCE, chance: float = CHANCE
) -> int:
    """Returns how many independent items show that a loss is within what is allowed.

        n = (z_a sqrt(p) + z_b sqrt(p - d^2))^2 / (d + m)^2

    Args:
        allowed: The loss `m` that is allowed, as a share: 0.02 for two points.
        discordance: Share `p` of the items whose answer flips, either way.
        change: The true change `d`, negative for a loss, above `-allowed`.
        confidence: Confidence of the one-sided bound.
        chance: Power: the chance that this number of items shows it.

    Raises:
        ValueError: If a share is out of range, or the true change is no smaller a loss than what is allowed.

    Reference:
        Richard J. Connor, "Sample size for testing differences in proportions for the paired-sample design",
        Biometrics 43, 1987, with the margin of non-inferiority as the difference to be seen.
    """
    _check(discordance, change)
    if not 0 < allowed < 1 or change <= -allowed:
        raise ValueError(f"allowed {allowed}, change {change}: give a loss in (0, 1), and a true change above it")
    z_a, z_b = float(stats.norm.ppf(confidence)), float(stats.norm.ppf(chance))
    wanted = z_a * math.sqrt(discordance) + z_b * math.sqrt(discordance - change**2)
    return max(1, math.ceil((wanted / (change + allowed)) ** 2))


def noise_floor(items: int, discordance: float, *, confidence: float = CONFIDENCE, chance: float = CHANCE) -> float:
    """Returns the smallest loss, as a share, that this number of items can tell from no loss.

    Args:
        items: Number of independent items.
        discordance: Share of them whose answer flips, either way. Two runs of the same evaluation show what it is for
            sampled answers; greedy answers of one model do not flip.
        confidence: Confidence of the one-sided test.
        chance: Power: the chance that the test detects a loss of this size.

    Returns:
        The loss, positive; `discordance` if the test would not detect even a suite whose flips are all losses.

    Raises:
        ValueError: If there is no item, or the share is out of range.
    """
    _check(discordance, 0.0)
    if items < 1:
        raise ValueError(f"items {items}: give at least one")
    z_a, z_b = float(stats.norm.ppf(confidence)), float(stats.norm.ppf(chance))

    def unseen(loss: float) -> float:
        spread = z_a * math.sqrt(discordance) + z_b * math.sqrt(max(0.0, discordance - loss**2))
        return spread / math.sqrt(items) - loss

    return discordance if unseen(discordance) > 0 else float(optimize.brentq(unseen, 0.0, discordance))


def _check(discordance: float, change: float) -> None:
    if not (0 < discordance <= 1 and abs(change) <= discordance):
        raise ValueError(f"discordance {discordance}: give a share above 0, at least the change of {change}")
