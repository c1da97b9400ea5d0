"""What the flips of single items say that a mean hides: what was known and is lost, and what was only guessed."""

from __future__ import annotations

import dataclasses
import math

from holdfast.stats.flips import Flips


@dataclasses.dataclass(frozen=True)
class Forgetting:
    """Shares of a suite's items, all from 0 to 1.

    Attributes:
        negative_flips: Share of all items right before and wrong after (NFR).
        relative: `negative_flips` in parts of what two models with independent errors would have; 1 is no better than
            another model altogether. None where either never errs in the way that is counted.
        of_right: Share lost of the items right before; None if there were none.
        lost: Share forgotten beyond what guessing flips.
        known: Share known before beyond what guessing gets right: the most that can be lost.
        of_known: `lost / known`; None if nothing was known.
        gained: Share newly right beyond what guessing flips (backward transfer).
    """

    negative_flips: float
    relative: float | None
    of_right: float | None
    lost: float
    known: float
    of_known: float | None
    gained: float


def forgetting(flips: Flips, options: float = math.inf) -> Forgetting:
    """Returns what was forgotten and gained, item by item, and without what guessing does.

        lost = max(0, b / n - g),    gained = max(0, c / n - g),    g = (1 - a) (1 - a') / (k - 1)
        known = max(0, (k a - 1) / (k - 1))

    with b items lost and c gained of n, a right before and a' after, and k choices, of which a guess takes any.

    Args:
        flips: What became of the items.
        options: Number of choices of each item; infinite where answers are generated and no guess is right.

    Raises:
        ValueError: If `options` is below 2.

    Reference:
        Sample-wise forgetting and backward transfer: "Mapping Post-Training Forgetting in Language Models at Scale",
        2025, arXiv:2510.17776. Negative flips: Sijie Yan et al., "Positive-Congruent Training", CVPR 2021.
    """
    if not options >= 2:
        raise ValueError(f"options {options}: give a number of choices of at least 2")
    n, before, after = flips.items, flips.before, flips.after
    guessed = (1 - before) * (1 - after) / (options - 1)
    known = before if math.isinf(options) else max(0.0, (options * before - 1) / (options - 1))
    lost, independent = max(0.0, flips.lost / n - guessed), before * (1 - after)
    right = flips.right + flips.lost
    return Forgetting(
        negative_flips=flips.lost / n,
        relative=flips.lost / n / independent if independent else None,
        of_right=flips.lost / right if right else None,
        lost=lost,
        known=known,
        of_known=min(1.0, lost / known) if known else None,
        gained=max(0.0, flips.gained / n - guessed),
    )
