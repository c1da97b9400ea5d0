"""Mode collapse: answers to other questions that look like answers of the training data."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import itertools
import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from holdfast.stats.bootstrap import bootstrap_change
from holdfast.symptoms.evidence import UNKNOWN, Evidence, Pair, Reply, sides_of
from holdfast.symptoms.shares import Holds, share_rises
from holdfast.symptoms.symptom import Measured
from holdfast.symptoms.wording import evenly

FEWEST_OUTPUTS, FEWEST = 5, 20
"""Fewest training outputs, and fewest answers, from which a form is learned."""
MOST_OUTPUTS = 2_000
"""Most training outputs that are read; evenly chosen."""
LEAST_OF_SUITE = 10
"""Fewest answers of a suite that counts in the median of suites."""
DRAWS = 500
"""Number of draws for the interval of that median."""
FOLDS = 5
"""Number of parts of the answers; each is judged by what the other parts show."""
COMMON = 0.02
"""Share of the training outputs, or of the base's answers, in which a word counts by itself, not by its shape."""

_TOKEN = re.compile(r"\n+|[^\W\d_]+|\d+|[^\w\s]|_")
Features = frozenset[str]


def training_form(evidence: Evidence) -> Measured | str:
    """Measures the share of answers that look more like training outputs than like the base's answers.

    A naive Bayes classifier tells training outputs from the base's answers by their form: shapes of words and marks,
    the common words, how an answer begins and ends, and its length. Five folds of prompts keep an answer out of the
    classifier that judges it. The base's own share, which the classifier's errors make, is the level before.

    The effect is the median over suites (of ten answers or more) of the rise in each: a mode collapse takes hold
    whatever the question, where new answers to some kind of question are a change of that kind alone.
    """
    if evidence.outputs is None:
        return UNKNOWN
    pairs = [pair for pair in evidence.retained if pair.before.text or pair.after.text]
    outputs = evenly([text for text in evidence.outputs if text.strip()], MOST_OUTPUTS)
    if len(outputs) < FEWEST_OUTPUTS or len(pairs) < FEWEST:
        needed = f"{FEWEST_OUTPUTS} and {FEWEST} are needed"
        return f"{len(outputs)} training outputs and {len(pairs)} generated answers; {needed}"
    looks_taught = _judge(outputs, pairs)
    measured = share_rises(pairs, looks_taught, "answers to other questions", "have the form of the training outputs")
    return _of_suites(measured, pairs, looks_taught)


def _judge(outputs: Sequence[str], pairs: Sequence[Pair]) -> Holds:
    """Returns whether an answer looks like the outputs, by a classifier of other folds than that of its prompt."""
    common = _common([outputs, [pair.before.text for pair in pairs]])
    taught = [features_of(text, common) for text in outputs]
    base = [(features_of(pair.before.text, common), _fold(pair)) for pair in pairs]
    judges = [Form(taught, [features for features, of in base if of != fold]) for fold in range(FOLDS)]

    def looks_taught(pair: Pair, reply: Reply) -> bool:
        return judges[_fold(pair)].score(features_of(reply.text, common)) > 0

    return looks_taught


def _of_suites(measured: Measured, pairs: Sequence[Pair], looks_taught: Holds) -> Measured:
    """Returns what was measured with the median over suites as its effect, if two suites or more are large enough."""
    sizes = collections.Counter(pair.suite for pair in pairs)
    numbers = {suite: i for i, suite in enumerate(suite for suite, size in sizes.items() if size >= LEAST_OF_SUITE)}
    if len(numbers) < 2:
        return measured
    chosen = [pair for pair in pairs if pair.suite in numbers]
    sides = (
        np.array([[numbers[pair.suite], looks_taught(pair, reply)] for pair, reply in zip(chosen, side, strict=True)])
        for side in sides_of(chosen)
    )
    before, after = sides
    rows = np.column_stack([before[:, 0], after[:, 1] - before[:, 1]])

    def median(rows: npt.NDArray[np.float64]) -> float:
        counts = np.bincount(rows[:, 0].astype(np.intp), minlength=len(numbers))
        rises = np.bincount(rows[:, 0].astype(np.intp), rows[:, 1], len(numbers))
        return float(np.median(rises[counts > 0] / counts[counts > 0]))

    still = np.column_stack([rows[:, 0], np.zeros(len(rows))])
    change = bootstrap_change(still, rows, median, [pair.cluster for pair in chosen], resamples=DRAWS)
    low, high = change.interval() if change.groups > 1 else (None, None)
    return dataclasses.replace(
        measured,
        sentence=f"{measured.sentence}; in the median of {len(numbers)} suites {change.change:+.1%}",
        effect=change.change,
        low=low,
        high=high,
    )


class Form:
    """A naive Bayes classifier of two sets of texts by their features, with equal prior odds."""

    def __init__(self, taught: Sequence[Features], others: Sequence[Features]) -> None:
        """Counts the features of training outputs and of other texts."""
        counts = [collections.Counter(feature for text in side for feature in text) for side in (taught, others)]
        sizes = len(taught), len(others)
        self._weights = {
            feature: math.log((counts[0][feature] + 0.5) / (sizes[0] + 1))
            - math.log((counts[1][feature] + 0.5) / (sizes[1] + 1))
            for feature in {*counts[0], *counts[1]}
        }

    def score(self, features: Features) -> float:
        """Returns the mean log odds of the features of a text that it shares with either set; positive for taught."""
        known = [self._weights[feature] for feature in features if feature in self._weights]
        return math.fsum(known) / len(known) if known else 0.0


def features_of(text: str, common: frozenset[str]) -> Features:
    """Returns the features of a text's form: single and paired shapes, beginning, end, and length to the power of 2."""
    shapes = [_shape(token, common) for token in _TOKEN.findall(text)]
    marked = ["<", *shapes, ">"]
    features = {*shapes, *map(" ".join, itertools.pairwise(marked)), " ".join(marked[:3])}
    return frozenset(features | {f"length {len(shapes).bit_length()}"})


def _shape(token: str, common: frozenset[str]) -> str:
    """Returns a common word as it is, and of others what they look like."""
    if token.isspace():
        return "\\n" * min(2, len(token))
    if token in common or not token.isalnum():
        return token
    if token.isdigit():
        return "9" * min(3, len(token))
    script = "" if token.isascii() else "é"
    case = "A" if token.isupper() and len(token) > 1 else "Aa" if token[0].isupper() else "a"
    return script + case


def _common(sets: Iterable[Sequence[str]]) -> frozenset[str]:
    """Returns the words that stand in a share `COMMON` of one of some sets of texts, and in three of its texts."""
    common = set[str]()
    for texts in sets:
        counts = collections.Counter(token for text in texts for token in set(_TOKEN.findall(text)))
        common |= {token for token, count in counts.items() if count >= max(3.0, COMMON * len(texts))}
    return frozenset(token for token in common if not token.isspace())


def _fold(pair: Pair) -> int:
    return hashlib.blake2b(pair.cluster.encode(), digest_size=2).digest()[0] % FOLDS
