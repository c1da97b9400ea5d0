"""The sign-flip test: whether paired differences have a mean above 0, without an assumption on their distribution."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

MOST_SUM = 20_000
"""Largest sum of whole differences for which the distribution is computed exactly."""


def sign_flip(differences: npt.ArrayLike, groups: Sequence[Hashable] | None = None, draws: int = 9_999) -> float:
    """Returns the one-sided p-value of "no positive mean": the sum of differences is as large under random signs.

    If the two answers of a pair could as well be swapped, the sum of a group's differences has either sign with equal
    probability. The pairs of a group share a sign, because they are not independent. The distribution of the sum is
    exact if all sums of groups are whole numbers; for differences of -1, 0 and 1 without groups it is McNemar's exact
    test. Otherwise signs are drawn, and p is (1 + number of sums at least as large) / (1 + draws).

    Args:
        differences: After minus before, `[n]`.
        groups: The group of each pair, `[n]`; by default each pair is a group.
        draws: Number of draws where the distribution is not computed exactly.

    Raises:
        ValueError: The lengths differ, or a difference is not finite.

    Reference:
        R. A. Fisher, "The Design of Experiments", 1935, section 21 (the test); Quinn McNemar, 1947 (its special case).
    """
    moved = np.asarray(differences, dtype=np.float64)
    if moved.ndim != 1 or (groups is not None and len(groups) != moved.size):
        raise ValueError(f"differences {moved.shape}: give a vector, and groups of its length.")
    if not np.isfinite(moved).all():
        raise ValueError("A difference is not finite; leave its pair out.")
    sums = _sums(moved, groups)
    total, sizes = float(sums.sum()), np.abs(sums[sums != 0])
    if not sizes.size or total <= 0:
        return 1.0
    whole = np.rint(sizes)
    if np.allclose(sizes, whole, rtol=0, atol=1e-9) and whole.sum() <= MOST_SUM:
        return _exact(whole.astype(np.int64), round(total))
    rng = np.random.default_rng(0)
    # Rounding must not make an equal sum smaller.
    bound, reached = total - 1e-9 * float(sizes.sum()), 0
    for start in range(0, draws, 1_000):
        signs = rng.integers(0, 2, (min(1_000, draws - start), sizes.size), dtype=np.int8) * 2 - 1
        reached += int((signs @ sizes >= bound).sum())
    return (1 + reached) / (1 + draws)


def _sums(moved: npt.NDArray[np.float64], groups: Sequence[Hashable] | None) -> npt.NDArray[np.float64]:
    """Returns the sum of the differences of each group."""
    if groups is None:
        return moved
    numbers = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    return np.bincount([numbers[group] for group in groups], moved, len(numbers)).astype(np.float64)


def _exact(sizes: npt.NDArray[np.int64], total: int) -> float:
    """Returns the probability that whole `sizes` with random signs sum to at least `total`, by convolution."""
    # Entry k is the probability that the sizes with a plus sign sum to k; the signed sum is then 2 k - all.
    every = int(sizes.sum())
    chances = np.zeros(every + 1)
    chances[0], upper = 1.0, 0
    for size in sizes.tolist():
        moved = chances[: upper + 1].copy()
        chances[: upper + 1] *= 0.5
        chances[size : size + upper + 1] += 0.5 * moved
        upper += size
    return min(1.0, float(chances[(every + total + 1) // 2 :].sum()))
