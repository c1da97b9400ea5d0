"""Verbosity collapse: answers that become longer, or shorter, than the base's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from holdfast.stats.paired import paired_change
from holdfast.stats.sign_flip import sign_flip
from holdfast.symptoms.evidence import Evidence, Pair, Reply
from holdfast.symptoms.symptom import Measured, quoted
from holdfast.symptoms.wording import words_of

SMALL = 5
"""Tokens added to both lengths, so that a token more or less does not count where answers have one or two."""


def longer(evidence: Evidence) -> Measured | str:
    """Measures by which factor answers are longer than the base's: exp(mean log((after + 5) / (before + 5)))."""
    return _grown(evidence.retained, 1.0, "longer than")


def shorter(evidence: Evidence) -> Measured | str:
    """Measures by which factor answers are shorter than the base's: the inverse of `longer`."""
    return _grown(evidence.retained, -1.0, "shorter than")


def _grown(pairs: Sequence[Pair], sign: float, than: str) -> Measured | str:
    """Returns the factor of the lengths, in tokens if all are known and else in words; its inverse with sign -1.

    A length beyond the most tokens of an answer is not seen, which makes the factor smaller than it is.
    """
    if not pairs:
        return "there are no generated answers"
    known = all(reply.tokens is not None for pair in pairs for reply in (pair.before, pair.after))
    before, after = ([_length(reply, known) for reply in side] for side in _sides(pairs))
    moved = [sign * math.log((last + SMALL) / (first + SMALL)) for first, last in zip(before, after, strict=True)]
    clusters = [pair.cluster for pair in pairs]
    number = np.unique(clusters, return_inverse=True)[1]
    change = paired_change(np.zeros(number.max() + 1), np.bincount(number, moved), np.bincount(number))
    low, high = (None, None) if change.low is None or change.high is None else (change.low, change.high)
    order = sorted(range(len(pairs)), key=lambda i: -moved[i])
    unit = "tokens" if known else "words"
    means = [math.fsum(lengths) / len(pairs) for lengths in (before, after)]
    return Measured(
        sentence=f"answers are {math.exp(change.change):.1f} times {than} the base's (mean {means[0]:.0f} ->"
        f" {means[1]:.0f} {unit})",
        effect=math.exp(change.change),
        p=sign_flip(moved, clusters),
        answers=len(pairs),
        low=None if low is None else math.exp(low),
        high=None if high is None else math.exp(high),
        before=means[0],
        after=means[1],
        quotes=quoted([pairs[i] for i in order[:3]]),
    )


def _sides(pairs: Sequence[Pair]) -> tuple[list[Reply], list[Reply]]:
    return [pair.before for pair in pairs], [pair.after for pair in pairs]


def _length(reply: Reply, in_tokens: bool) -> int:
    return reply.tokens or 0 if in_tokens else len(words_of(reply.text))
