"""Forgetting of single items, which a mean hides: known items that were lost, apart from lucky guesses."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from holdfast.stats.flips import Flips


@dataclasses.dataclass(frozen=True)
class Forgetting:
    """Shares of a suite's items, all from 0 to 1.

    Attributes:
        negative_flips: Share of all items right before and wrong after (NFR).
        relative: `negative_flips` divided by its value for two models with independent errors; 1 is as bad as an
            unrelated model. None if that value is 0.
        of_right: Share lost of the items right before; None if no item was right.
        lost: Share forgotten beyond the flips of guesses. This field and the next three are None if the number of
            choices is unknown.
        known: Share known before beyond right guesses: the upper limit of `lost`.
        of_known: `lost / known`; None if nothing was known.
        gained: Share newly right beyond the flips of guesses (backward transfer).
    """

    negative_flips: float
    relative: float | None
    of_right: float | None
    lost: float | None
    known: float | None
    of_known: float | None
    gained: float | None


def forgetting_of(by_options: Mapping[float | None, Flips]) -> Forgetting:
    """Returns the shares of items forgotten and gained, corrected for guessing.

        lost = max(0, sum_k (b_k - n_k g_k) / n),    known = max(0, sum_k n_k (k a_k - 1) / (k - 1) / n)
        gained = max(0, sum_k (c_k - n_k g_k) / n),  g_k = (1 - a_k) (1 - a'_k) / (k - 1)

    Of n items, n_k have k choices, and a guess takes each choice with the same probability. Of these n_k items, b_k
    were lost and c_k gained; the share a_k was right before, and a'_k after.

    Args:
        by_options: Flips of the items by their number of choices: infinity for generated answers, None if unknown; then
            the fields that correct for guessing are None.

    Raises:
        ValueError: There is no item, or a number of choices is below 2.

    Reference:
        Sample-wise forgetting and backward transfer: "Mapping Post-Training Forgetting in Language Models at Scale",
        2025, arXiv:2510.17776. Negative flips: Sijie Yan et al., "Positive-Congruent Training", CVPR 2021.
    """
    if not by_options:
        raise ValueError("Give at least one item.")
    for options in by_options:
        if options is not None and not options >= 2:
            raise ValueError(f"options {options}: give a number of choices of at least 2.")
    parts = list(by_options.values())
    n = sum(part.items for part in parts)
    fell, right = sum(part.lost for part in parts), sum(part.right + part.lost for part in parts)
    independent = math.fsum(part.items / n * part.before * (1 - part.after) for part in parts)
    lost, known, gained = _beyond_guessing(by_options, n)
    return Forgetting(
        negative_flips=fell / n,
        relative=fell / n / independent if independent else None,
        of_right=fell / right if right else None,
        lost=lost,
        known=known,
        of_known=min(1.0, lost / known) if known and lost is not None else None,
        gained=gained,
    )


def _beyond_guessing(
    by_options: Mapping[float | None, Flips], n: int
) -> tuple[float | None, float | None, float | None]:
    """Returns the shares of `n` items that were lost, known and gained beyond guessing; None if unknown."""
    parts = [(options, part) for options, part in by_options.items() if options is not None]
    if len(parts) < len(by_options):
        return None, None, None
    fell, rose = sum(part.lost for _, part in parts), sum(part.gained for _, part in parts)
    guessed = math.fsum(part.items * _guessed(part, options) for options, part in parts)
    known = max(0.0, math.fsum(part.items * _known(part, options) for options, part in parts) / n)
    return max(0.0, (fell - guessed) / n), known, max(0.0, (rose - guessed) / n)


def _guessed(part: Flips, options: float) -> float:
    return (1 - part.before) * (1 - part.after) / (options - 1)


def _known(part: Flips, options: float) -> float:
    return part.before if math.isinf(options) else (options * part.before - 1) / (options - 1)
