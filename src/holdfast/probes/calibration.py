"""Whether a model is right as often as it is sure: calibration over multiple-choice answers."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from holdfast.core.errors import HoldfastError
from holdfast.probes.answers import Answer


@dataclasses.dataclass(frozen=True)
class Bin:
    """The answers whose confidence is above `low` and at most `high` (the lowest bin holds 0 too).

    Attributes:
        low: Lower edge.
        high: Upper edge.
        count: Number of answers.
        confidence: Their mean confidence; None if there are none.
        accuracy: Share of them that is right; None if there are none.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How sure and how right answers are.

    Attributes:
        ece: Expected calibration error, 0 to 1.
        brier: Brier score, 0 to 2; what is sure and right has 0.
        count: Number of answers.
        bins: Bins of equal width over the confidences from 0 to 1, in order.
    """

    ece: float
    brier: float
    count: int
    bins: tuple[Bin, ...]


def calibration(answers: Iterable[Answer], bins: int = 10) -> Calibration:
    """Returns the calibration of the multiple-choice answers; answers of other forms do not count.

        ECE = sum_b n_b / n |acc_b - conf_b|
        Brier = 1/n sum_i sum_k (p_ik - y_ik)^2

    where b runs over bins of equal width, p_ik is the probability of choice k of item i and y_ik is 1 for the right
    choice and 0 for the others.

    Args:
        answers: Answers; an answer's confidence is the probability of the choice that was picked.
        bins: Number of bins.

    Raises:
        HoldfastError: If there is no multiple-choice answer.
        ValueError: If `bins` is not positive.

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
        place = min(bisect.bisect_left(edges, answer.confidence), bins - 1)
        sure[place].append(answer.confidence)
        right[place].append(answer.value)
        brier.append(math.fsum((p - (k == 0)) ** 2 for k, p in enumerate(answer.choice.probabilities)))
    if not brier:
        raise HoldfastError("There is no multiple-choice answer among these to calibrate; ask items with 'choices'.")
    found = tuple(
        Bin(place / bins, edges[place], len(values), _mean(confidences), _mean(values))
        for place, (confidences, values) in enumerate(zip(sure, right, strict=True))
    )
    ece = expected_calibration_error([*itertools.chain(*sure)], [*itertools.chain(*right)], bins)
    return Calibration(ece, math.fsum(brier) / len(brier), len(brier), found)


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def expected_calibration_error(confidence: npt.ArrayLike, value: npt.ArrayLike, bins: int = 10) -> float:
    """Returns the expected calibration error of answers that are right (1) or wrong (0), `[n]` each; see `calibration`.

    A confidence on the edge of two bins is in the lower one.
    """
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(value, dtype=np.float64)
    edges = np.array([(place + 1) / bins for place in range(bins)])
    places = np.minimum(np.searchsorted(edges, sure, side="left"), bins - 1)
    return float(np.abs(np.bincount(places, right - sure, bins)).sum() / len(sure))
