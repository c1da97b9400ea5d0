"""Symptoms in the order: the base's order among documents that are not relevant is gone, or long queries fare worse."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from scipy import stats

from holdfast.probes.score import in_unit
from holdfast.rerank.symptoms.evidence import Ranking, RankingEvidence
from holdfast.rerank.symptoms.paired import mean_and_p, most_telling
from holdfast.symptoms.symptom import Measured

KEPT = 0.9
"""Kendall's tau to the base above which the order counts as kept: the test asks whether the mean is below."""
FEWEST = 3
"""Fewest candidates that are not relevant in a list whose order is compared."""
NO_NEGATIVES = f"no query has {FEWEST} candidates that are not relevant and whose scores differ under the base"
ONE_LENGTH = "the queries of each suite have one length"


def negatives_reordered(evidence: RankingEvidence) -> Measured | str:
    """Returns how far the order among documents that are not relevant has left that of the base.

        effect = 1 - mean over queries of tau,    tau = Kendall's tau-b of the scores before and after

    0 is the base's order, 1 is an order unrelated to it. What was learned is not in these documents, so their order
    shows how much of the base's knowledge of relevance is left. Any training moves it a little; the p-value is that of
    "tau is at least 0.9 in the mean". A list whose scores are all equal after training has a tau of 0.

    Reference:
        Maurice G. Kendall, "The treatment of ties in ranking problems", Biometrika, 1945.
    """
    rankings, taus = [], []
    for ranking in evidence.retained:
        others = ~ranking.relevant
        if others.sum() >= FEWEST and ranking.before[others].std() > 0:
            rankings.append(ranking)
            taus.append(_tau(ranking, others))
    if not rankings:
        return NO_NEGATIVES
    gone = [1 - tau for tau in taus]
    mean, p, low, high = mean_and_p(rankings, gone, above=1 - KEPT)
    return Measured(
        sentence=f"among documents that are not relevant, Kendall's tau to the base's order is {1 - mean:.2f}",
        effect=mean,
        p=p,
        answers=len(rankings),
        low=low,
        high=high,
        quotes=most_telling(rankings, lambda place: gone[place]),
    )


def _tau(ranking: Ranking, among: np.ndarray) -> float:
    if not ranking.after[among].std() > 0:
        return 0.0
    return float(stats.kendalltau(ranking.before[among], ranking.after[among]).statistic)


def length_bias(evidence: RankingEvidence) -> Measured | str:
    """Returns by how much nDCG@10 has fallen more for long queries than for short ones, or the other way round.

        effect = |mean change of the queries above the median length - mean change of the others|

    The queries of each suite are split at their median number of words, so suites with longer queries do not count as
    long. The p-value is that of the sign-flip test, two-sided, on the change of each query less the mean change of its
    suite, with the sign of its half.
    """
    halves = _halves(evidence.retained)
    if not halves:
        return ONE_LENGTH
    rankings = [ranking for ranking, _ in halves]
    changes = np.array([ranking.ndcg[1] - ranking.ndcg[0] for ranking in rankings])
    long = np.array([is_long for _, is_long in halves], dtype=bool)
    suites = np.array([ranking.suite for ranking in rankings])
    centred = changes.copy()
    for suite in {*suites.tolist()}:
        centred[suites == suite] -= changes[suites == suite].mean()
    # Each half counts as the mean of its queries, so the sum of all values is the difference times their number.
    signed = np.where(long, centred / long.mean(), -centred / (~long).mean())
    mean, p, low, high = mean_and_p(rankings, signed.tolist(), two_sided=True)
    sign, worse = (-1.0, "long") if mean < 0 else (1.0, "short")
    ends = sorted(sign * end for end in (low, high) if end is not None)
    return Measured(
        sentence=f"the change of nDCG@10 of {worse} queries is {in_unit(abs(mean)):.1f} points below the others'",
        effect=abs(mean),
        p=p,
        answers=len(rankings),
        low=ends[0] if ends else None,
        high=ends[1] if ends else None,
        quotes=most_telling(rankings, lambda place: -sign * signed[place]),
    )


def _halves(rankings: list[Ranking]) -> list[tuple[Ranking, bool]]:
    """Returns each query with whether it is longer than the median of its suite; without suites of one length."""
    by_suite: dict[str, list[Ranking]] = defaultdict(list)
    for ranking in rankings:
        by_suite[ranking.suite].append(ranking)
    halves = []
    for members in by_suite.values():
        lengths = [len(ranking.query.split()) for ranking in members]
        middle = float(np.median(lengths))
        if min(lengths) <= middle < max(lengths):
            halves += [(ranking, length > middle) for ranking, length in zip(members, lengths, strict=True)]
    return halves
