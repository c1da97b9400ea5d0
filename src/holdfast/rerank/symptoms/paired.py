"""The test that the symptoms of rerankers share: one number for each query, and whether its mean is above zero."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from holdfast.rerank.symptoms.evidence import Ranking
from holdfast.stats.sign_flip import sign_flip
from holdfast.symptoms.symptom import QUOTED, Quote


def mean_and_p(
    rankings: Sequence[Ranking], values: Sequence[float], *, above: float = 0.0, two_sided: bool = False
) -> tuple[float, float, float | None, float | None]:
    """Returns the mean of one number for each query, the p-value of "not above `above`", and a 95% interval.

    Queries of a group are not independent: the sign-flip test gives them one sign, and the interval is that of a ratio
    with groups as the independent draws (`holdfast.stats.paired`).

    Args:
        rankings: The queries.
        values: The number of each, in their order.
        above: The value that the mean would have without the symptom.
        two_sided: Whether a mean below counts as well.

    Returns:
        Mean, p-value, and the ends of the interval; None for a single group.
    """
    clusters = [ranking.cluster for ranking in rankings]
    moved = np.asarray(values, dtype=np.float64) - above
    p = sign_flip(moved, clusters)
    if two_sided:
        p = min(1.0, 2 * min(p, sign_flip(-moved, clusters)))
    mean = float(np.mean(values))
    error = _error(clusters, np.asarray(values, dtype=np.float64) - mean)
    if error is None:
        return mean, p, None, None
    half = float(stats.t.ppf(0.975, len({*clusters}) - 1)) * error
    return mean, p, mean - half, mean + half


def _error(clusters: Sequence[str], residuals: np.ndarray) -> float | None:
    """Returns the standard error of a mean over clusters; None for a single one."""
    sums: dict[str, float] = defaultdict(float)
    for cluster, residual in zip(clusters, residuals.tolist(), strict=True):
        sums[cluster] += residual
    n = len(sums)
    if n < 2:
        return None
    return math.sqrt(n / (n - 1) * math.fsum(value**2 for value in sums.values())) / len(residuals)


def most_telling(rankings: Sequence[Ranking], how_much: Callable[[int], float]) -> tuple[Quote, ...]:
    """Returns quotes of the queries with the largest numbers, each of a group of its own."""
    quotes, seen = list[Quote](), set[str]()
    for place in sorted(range(len(rankings)), key=lambda place: -how_much(place)):
        if rankings[place].cluster not in seen and len(quotes) < QUOTED:
            seen.add(rankings[place].cluster)
            quotes.append(rankings[place].quote())
    return tuple(quotes)
