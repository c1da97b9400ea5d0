"""Symptoms in the scores themselves: their spread collapses, their level drifts, their probabilities go wrong."""

from __future__ import annotations

import numpy as np

from holdfast.rerank.symptoms.evidence import RankingEvidence, Vector
from holdfast.rerank.symptoms.paired import mean_and_p, most_telling
from holdfast.symptoms.symptom import Measured

NO_LOGITS = "the scores are similarities of embeddings, not logits"
"""Why calibration is not checked for bi-encoders."""
NO_SPREAD = "the base gives all candidates of every query one score"


def score_collapse(evidence: RankingEvidence) -> Measured | str:
    """Returns the share of the spread of scores within lists that is lost.

        effect = 1 - exp(mean over queries of log(sd_after / sd_before))

    sd is the standard deviation of the raw scores of a query's candidates. It falls when the tuned model gives all
    candidates almost one score, so that rounding and ties decide. A spread of 0 counts as a thousandth of the base's.
    """
    rankings = [ranking for ranking in evidence.retained if ranking.before.std() > 0]
    if not rankings:
        return NO_SPREAD
    first, last = (
        [float(side.std()) for side in sides] for sides in zip(*((r.before, r.after) for r in rankings), strict=True)
    )
    logs = [float(np.log(was / max(now, was / 1000))) for was, now in zip(first, last, strict=True)]
    mean, p, low, high = mean_and_p(rankings, logs)
    share, *ends = (1 - float(np.exp(-value)) for value in (mean, *(end for end in (low, high) if end is not None)))
    return Measured(
        sentence=f"within lists, {share:.0%} of the spread of scores is gone (standard deviation {np.mean(first):.2f}"
        f" to {np.mean(last):.2f})",
        effect=share,
        p=p,
        answers=len(rankings),
        low=ends[0] if ends else None,
        high=ends[1] if ends else None,
        quotes=most_telling(rankings, lambda place: logs[place]),
    )


def score_drift(evidence: RankingEvidence) -> Measured | str:
    """Returns how far the level of scores has moved, as a share of the spread of the base's scores.

        effect = |mean over queries of mean(after - before)| / sd(all scores of the base)

    The order within a list does not show it, but a threshold on scores that was chosen for the base then keeps other
    documents.
    """
    rankings = evidence.retained
    spread = float(np.concatenate([ranking.before for ranking in rankings]).std()) if rankings else 0.0
    if not spread > 0:
        return NO_SPREAD
    moved = [float((ranking.after - ranking.before).mean()) / spread for ranking in rankings]
    mean, p, low, high = mean_and_p(rankings, moved, two_sided=True)
    sign = -1.0 if mean < 0 else 1.0
    ends = sorted(sign * end for end in (low, high) if end is not None)
    return Measured(
        sentence=f"scores have {'fallen' if mean < 0 else 'risen'} by {abs(mean):.2f} of their spread"
        f" ({abs(mean) * spread:.2f} in logits)",
        effect=abs(mean),
        p=p,
        answers=len(rankings),
        low=ends[0] if ends else None,
        high=ends[1] if ends else None,
        quotes=most_telling(rankings, lambda place: sign * moved[place]),
    )


def calibration_lost(evidence: RankingEvidence) -> Measured | str:
    """Returns the rise of the Brier score of the sigmoids of the scores, against the judgments.

        effect = mean over queries of (brier_after - brier_before)
        brier  = mean over candidates of (sigmoid(score) - y)^2

    y is 1 for a relevant document and 0 for every other, also one that nobody judged.

    Reference:
        Glenn W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review, 1950.
    """
    if not evidence.logits:
        return NO_LOGITS
    rankings = evidence.retained
    first = [_brier(ranking.before, ranking.relevant) for ranking in rankings]
    last = [_brier(ranking.after, ranking.relevant) for ranking in rankings]
    moved = [now - was for was, now in zip(first, last, strict=True)]
    mean, p, low, high = mean_and_p(rankings, moved)
    return Measured(
        sentence=f"the Brier score of the probabilities is {np.mean(last):.3f} (base {np.mean(first):.3f})",
        effect=mean,
        p=p,
        answers=len(rankings),
        low=low,
        high=high,
        before=float(np.mean(first)),
        after=float(np.mean(last)),
        quotes=most_telling(rankings, lambda place: moved[place]),
    )


def _brier(scores: Vector, relevant: np.ndarray) -> float:
    chances = 0.5 * (1 + np.tanh(scores / 2))  # the sigmoid, without overflow
    return float(((chances - relevant) ** 2).mean())
