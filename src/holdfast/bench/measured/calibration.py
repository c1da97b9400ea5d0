"""The calibration of choices before and after, from the answers of two models, as a part of a record."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Literal

import numpy as np

from holdfast.bench.measured.calibration_record import (
    BinSide,
    CalibrationBin,
    CalibrationFigure,
    CalibrationRow,
    SuiteCalibration,
    UncalibratedRow,
)
from holdfast.bench.measured.outcome import Amount
from holdfast.probes.score import Answers, Role, Said, Score, for_stats
from holdfast.stats.calibration import BINS, Confidences, Paired, bin_of, error_if_calibrated, paired_calibration
from holdfast.stats.group_bootstrap import Estimate

LEAST = 50
"""Least number of items for a calibration error: with fewer, it says little more than how many items there are."""

RETAINED = "all kept suites"
"""Name of all choices of the retained suites together."""

Pair = tuple[tuple[Score, Said], tuple[Score, Said]]
"""The scores and answers of both models to one item."""


def calibration_of(before: Answers, after: Answers) -> CalibrationRow | None:
    """Returns the calibration of the choices of each suite, before and after; None if no item has choices.

    Args:
        before: The answers of the base; those to items that only one model was asked do not count.
        after: The answers of the tuned model.
    """
    pairs, unknown = _paired(before, after)
    if not (pairs or unknown):
        return None
    kept = [members for members in pairs.values() if members[0][0][0].role == "retained"]
    together = [pair for members in kept for pair in members]
    return CalibrationRow(
        least_items=LEAST,
        retained=_suite(RETAINED, "retained", together) if len(kept) > 1 else None,
        suites=tuple(_suite(name, members[0][0][0].role, members) for name, members in pairs.items()),
        unknown=tuple(
            UncalibratedRow(suite=suite, items=count, reason=reason) for (suite, reason), count in unknown.items()
        ),
    )


Unknown = collections.Counter[tuple[str, Literal["graded", "no probabilities"]]]
"""Number of choices whose calibration is unknown, by suite and reason."""


def _paired(before: Answers, after: Answers) -> tuple[dict[str, list[Pair]], Unknown]:
    """Returns the choices whose probabilities both models gave, by suite, and counts the others."""
    pairs: dict[str, list[Pair]] = {}
    unknown: Unknown = collections.Counter()
    last = {(score.suite, score.item): (score, said) for score, said in _choices(after)}
    for score, said in _choices(before):
        other, other_said = last.get((score.suite, score.item), (None, None))
        if other is None:
            continue
        if said is not None and other_said is not None and None not in (said.confidence, other_said.confidence):
            pairs.setdefault(score.suite, []).append(((score, said), (other, other_said)))
        else:
            graded = any(_share(side) not in (0.0, 1.0) for side in (score, other))
            unknown[score.suite, "graded" if graded else "no probabilities"] += 1
    return pairs, unknown


def _choices(side: Answers) -> list[tuple[Score, Said | None]]:
    """Returns the scores of items with choices, each with its answer."""
    said = {(answer.suite, answer.item): answer for answer in side.said}
    rows = [(score, said.get((score.suite, score.item))) for score in side.scores if score.unit == "points"]
    return [(score, answer) for score, answer in rows if score.choices or (answer and answer.confidence is not None)]


def _share(score: Score) -> float:
    return for_stats(score.value, score.unit)


def _suite(name: str, role: Role, pairs: Sequence[Pair]) -> SuiteCalibration:
    """Returns the calibration of the choices in `pairs`."""
    sides = [_confidences([pair[place] for pair in pairs]) for place in (0, 1)]
    groups = [pair[0][0].group for pair in pairs]
    figures = paired_calibration(sides[0], sides[1], groups)
    known = len(pairs) >= LEAST
    expected = [error_if_calibrated(side.confidence) if known else (0.0, 0.0) for side in sides]
    return SuiteCalibration(
        name=name,
        role=role,
        items=len(pairs),
        groups=len(set(groups)),
        ece=_figure(figures.ece, expected[0][0], expected[1][0]) if known else None,
        adaptive_ece=_figure(figures.adaptive_ece, expected[0][1], expected[1][1]) if known else None,
        brier=None if figures.brier is None else _figure(figures.brier),
        overconfidence=_figure(figures.overconfidence),
        bins=_bins(*sides),
    )


def _confidences(side: Sequence[tuple[Score, Said]]) -> Confidences:
    brier = [said.brier for _, said in side]
    return Confidences(
        np.array([said.confidence for _, said in side], dtype=np.float64),
        np.array([_share(score) for score, _ in side]),
        None if None in brier else np.array(brier, dtype=np.float64),
    )


def _figure(paired: Paired, before: float | None = None, after: float | None = None) -> CalibrationFigure:
    return CalibrationFigure(
        before=_amount(paired.before),
        after=_amount(paired.after),
        change=_amount(paired.change),
        before_if_calibrated=before,
        after_if_calibrated=after,
    )


def _amount(estimate: Estimate) -> Amount:
    return Amount(value=estimate.value, low=estimate.low, high=estimate.high)


def _bins(before: Confidences, after: Confidences) -> tuple[CalibrationBin, ...]:
    sides = [(side, bin_of(side.confidence)) for side in (before, after)]
    rows = []
    for place in range(BINS):
        first, last = (_bin_side(side, places == place) for side, places in sides)
        if first.items or last.items:
            rows.append(CalibrationBin(low=place / BINS, high=(place + 1) / BINS, before=first, after=last))
    return tuple(rows)


def _bin_side(side: Confidences, members: np.typing.NDArray[np.bool_]) -> BinSide:
    count = int(members.sum())
    if not count:
        return BinSide(items=0)
    return BinSide(
        items=count,
        confidence=float(side.confidence[members].mean()),
        accuracy=float(side.right[members].mean()),
    )
