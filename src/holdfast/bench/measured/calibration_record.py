"""The calibration of choices before and after: a part that the records of runs and diffs share."""

from __future__ import annotations

import dataclasses
from typing import Literal

from holdfast.bench.measured.outcome import Amount
from holdfast.bench.measured.schema import Record, column
from holdfast.probes.score import Role


@dataclasses.dataclass(frozen=True, kw_only=True)
class CalibrationFigure(Record):
    """One figure of calibration, before and after.

    Attributes:
        before: The base's figure, with its interval.
        after: The tuned model's figure.
        change: `after` minus `before`, with an interval that pairs the items.
        before_if_calibrated: The figure to expect of a perfectly calibrated model with the base's confidences on as
            many items; absent for figures that are 0 or nothing special there.
        after_if_calibrated: The same with the tuned model's confidences.
    """

    before: Amount
    after: Amount
    change: Amount
    before_if_calibrated: float | None = column(default=None)
    after_if_calibrated: float | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BinSide(Record):
    """The answers of one model in a bin of confidence.

    Attributes:
        items: Their number.
        confidence: Their mean confidence, 0 to 1; absent without answers.
        accuracy: Their share of right answers, 0 to 1; absent without answers.
    """

    items: int
    confidence: float | None = column(default=None)
    accuracy: float | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CalibrationBin(Record):
    """A bin of confidence: above `low` and at most `high` (the lowest bin also holds 0).

    Attributes:
        low: Lower edge.
        high: Upper edge.
        before: The base's answers in it.
        after: The tuned model's answers in it.
    """

    low: float
    high: float
    before: BinSide
    after: BinSide


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuiteCalibration(Record):
    """The calibration of the choices of a suite.

    Attributes:
        name: Name of the suite.
        role: What the suite measures: "learned", "transfer" or "retained".
        items: Number of items with choices whose probabilities both models gave.
        groups: Number of groups of items that depend on each other.
        ece: The expected calibration error with bins of equal width, 0 to 1; absent for too few items.
        adaptive_ece: The expected calibration error with bins of equal mass, 0 to 1; absent likewise.
        brier: The Brier score, 0 to 2; absent if saved answers lack it.
        overconfidence: Mean confidence minus the share of right answers, -1 to 1.
        bins: The bins of equal width, of which at least one model has answers: the reliability diagram.
    """

    name: str
    role: Role
    items: int
    groups: int
    ece: CalibrationFigure | None = column(default=None)
    adaptive_ece: CalibrationFigure | None = column(default=None)
    brier: CalibrationFigure | None = column(default=None)
    overconfidence: CalibrationFigure
    bins: tuple[CalibrationBin, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class UncalibratedRow(Record):
    """Choices of a suite whose calibration is unknown.

    Attributes:
        suite: Name of the suite.
        items: Number of such items.
        reason: "graded" if several choices are right, or "no probabilities" if saved answers hold none.
    """

    suite: str
    items: int
    reason: Literal["graded", "no probabilities"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CalibrationRow(Record):
    """The calibration of choices before and after; see docs/calibration.md.

    Attributes:
        least_items: Least number of items for a calibration error.
        retained: All choices of the retained suites together; absent if fewer than two suites have any.
        suites: The choices of each suite.
        unknown: Choices whose calibration is unknown.
    """

    least_items: int
    retained: SuiteCalibration | None = column(default=None)
    suites: tuple[SuiteCalibration, ...]
    unknown: tuple[UncalibratedRow, ...] = column(default=())
