"""Verbosity collapse: answers that become much longer, or much shorter, than the base's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from holdfast.stats.paired import paired_change
from holdfast.stats.sign_flip import sign_flip
from holdfast.symptoms.evidence import Evidence, Pair, Reply
from holdfast.symptoms.symptom import Measured, quoted
from holdfast.symptoms.wording import words_of

MUCH = 1.5
"""Factor between two lengths from which one answer is much longer."""
SMALL = 5
"""Tokens added to both lengths, so that a token more or less does not count where answers have one or two."""


def longer(evidence: Evidence) -> Measured:
    """Measures the share of answers much longer than the base's, less the share of much shorter ones.

    Lengths are in tokens if all are known, else in words. "Much" is a factor of 1.5 between the lengths plus 5. A
    length beyond the most tokens of an answer is not seen.
    """
    return _grown(evidence.retained, longer=True)


def shorter(evidence: Evidence) -> Measured:
    """Measures the share of answers much shorter than the base's, less the share of much longer ones."""
    return _grown(evidence.retained, longer=False)


def _grown(pairs: Sequence[Pair], *, longer: bool) -> Measured:
    """Returns the net share of answers that are much longer, or much shorter."""
    in_tokens = all(reply.tokens is not None for pair in pairs for reply in (pair.before, pair.after))
    before = [_length(pair.before, in_tokens) for pair in pairs]
    after = [_length(pair.after, in_tokens) for pair in pairs]
    ratios = [math.log((last + SMALL) / (first + SMALL)) for first, last in zip(before, after, strict=True)]
    grown = [ratio if longer else -ratio for ratio in ratios]
    moved = [float(ratio >= math.log(MUCH)) - float(ratio <= -math.log(MUCH)) for ratio in grown]
    clusters = [pair.cluster for pair in pairs]
    number = np.unique(clusters, return_inverse=True)[1]
    change = paired_change(np.zeros(number.max() + 1), np.bincount(number, moved), np.bincount(number))
    most = sorted(range(len(pairs)), key=lambda i: -grown[i])[:3]
    words, unit = "longer" if longer else "shorter", "tokens" if in_tokens else "words"
    means = [math.fsum(lengths) / len(pairs) for lengths in (before, after)]
    return Measured(
        sentence=f"{moved.count(1.0) / len(pairs):.1%} of {len(pairs):,} answers are much {words} than the"
        f" base's, {moved.count(-1.0) / len(pairs):.1%} much {'shorter' if longer else 'longer'} (mean"
        f" {means[0]:.0f} -> {means[1]:.0f} {unit})",
        effect=change.change,
        p=sign_flip(moved, clusters),
        answers=len(pairs),
        low=change.low,
        high=change.high,
        quotes=quoted([pairs[i] for i in most]),
    )


def _length(reply: Reply, in_tokens: bool) -> int:
    return reply.tokens or 0 if in_tokens else len(words_of(reply.text))
