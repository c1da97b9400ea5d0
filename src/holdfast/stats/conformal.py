"""Conformal prediction on data in groups: how wide an interval must be to hold on a group that was not seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def grouped_quantile(
    scores_N: Sequence[float] | Numbers, groups: Sequence[object], confidence: float, *, guaranteed: bool = True
) -> float:
    """Returns the score that an observation of a new group does not exceed with a probability.

        q = inf { q : sum_k 1/(K + 1) * |{i in group k : s_i <= q}| / n_k  >=  confidence }

    Each of the K groups has the same weight, whatever its number of scores n_k; the remaining 1/(K + 1) lies at
    infinity. The coverage holds for any distribution if groups are exchangeable and scores come from a fit that did not
    use their group. With fewer than confidence / (1 - confidence) groups no finite score is enough.
    Without the guarantee the weights are 1/K: the quantile of the scores themselves, which is narrower and has its
    coverage only in the limit of many groups.

    Args:
        scores_N: Scores, such as absolute residuals; larger is worse.
        groups: Group of each score.
        confidence: Probability, in (0, 1).
        guaranteed: Whether the group to come counts as one of them.

    Returns:
        The score; infinity if there are too few groups.

    Raises:
        ValueError: There are no scores, their number differs from that of the groups, or the confidence is not in
            (0, 1).

    Reference:
        Lee, Barber and Willett, Distribution-free inference with hierarchical data, 2023, arXiv 2306.06342.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence}: give a number above 0 and below 1")
    scores, names = np.asarray(scores_N, dtype=float), [repr(group) for group in groups]
    if not len(scores) or len(scores) != len(names):
        raise ValueError(f"{len(scores)} scores and {len(names)} groups: give a group for each score")
    _, number, counts = np.unique(names, return_inverse=True, return_counts=True)
    weights = 1.0 / (counts[number] * (len(counts) + guaranteed))
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weights[order]) >= confidence - 1e-12
    return float(scores[order][np.argmax(reached)]) if reached.any() else math.inf
