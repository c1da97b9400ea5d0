"""Calibration of multiple-choice answers: whether a model is right as often as its confidence says."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence

from holdfast.core.errors import HoldfastError
from holdfast.probes.answers import Answer
from holdfast.stats.calibration import bin_of, expected_calibration_error


@dataclasses.dataclass(frozen=True)
class Bin:
    """The answers with a confidence above `low` and at most `high` (the lowest bin also holds 0).

    Attributes:
        low: Lower edge.
        high: Upper edge.
        count: Number of answers.
        confidence: Their mean confidence; None if there are none.
        accuracy: Share of right answers among them; None if there are none.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How well the confidence of answers matches their accuracy.

    Attributes:
        ece: Expected calibration error, 0 to 1.
        brier: Brier score, 0 to 2; a right answer with confidence 1 scores 0.
        count: Number of answers.
        bins: Bins of equal width over the confidences from 0 to 1, in order.
    """

    ece: float
    brier: float
    count: int
    bins: tuple[Bin, ...]


def calibration(answers: Iterable[Answer], bins: int = 10) -> Calibration:
    """Returns the calibration of the multiple-choice answers; other answers are ignored.

        ECE = sum_b n_b / n |acc_b - conf_b|
        Brier = 1/n sum_i sum_k (p_ik - y_ik)^2

    where b runs over bins of equal width, p_ik is the probability of choice k of item i and y_ik is 1 for the right
    choice and 0 for the others.

    Args:
        answers: Answers; the confidence of an answer is the probability of its picked choice.
        bins: Number of bins.

    Raises:
        HoldfastError: There is no multiple-choice answer.
        ValueError: `bins` is not positive.

    Reference:
        Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017.
        Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950.
    """
    if bins < 1:
        raise ValueError(f"bins {bins}: give a positive number")
    edges = [(place + 1) / bins for place in range(bins)]
    sure: list[list[float]] = [[] for _ in edges]
    right: list[list[float]] = [[] for _ in edges]
    brier = []
    for answer in answers:
        if answer.choice is None or answer.confidence is None:
            continue
        place = int(bin_of([answer.confidence], bins)[0])
        sure[place].append(answer.confidence)
        right[place].append(answer.value)
        brier.append(brier_term(answer.choice.probabilities))
    if not brier:
        raise HoldfastError("There is no multiple-choice answer to calibrate; ask items with 'choices'.")
    filled_bins = tuple(
        Bin(place / bins, edges[place], len(values), _mean(confidences), _mean(values))
        for place, (confidences, values) in enumerate(zip(sure, right, strict=True))
    )
    ece = expected_calibration_error([*itertools.chain(*sure)], [*itertools.chain(*right)], bins)
    return Calibration(ece, math.fsum(brier) / len(brier), len(brier), filled_bins)


def brier_term(probabilities: Sequence[float]) -> float:
    """Returns the Brier score of one item, 0 to 2, from the probabilities of its choices, the right one first."""
    return math.fsum((p - (k == 0)) ** 2 for k, p in enumerate(probabilities))


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
