"""The calibration of a recipe: the changes that its runs recorded, in the mean over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from holdfast.bench.compare.tradeoff_record import CalibrationMean
from holdfast.bench.measured.calibration_record import CalibrationRow, SuiteCalibration


def mean_calibration(records: Sequence[CalibrationRow | None]) -> CalibrationMean | None:
    """Returns the mean of the changes of all choices to keep.

    Args:
        records: The calibration of each seed.

    Returns:
        None if a seed has none, or lacks the Brier score.
    """
    rows = [None if record is None else _kept(record) for record in records]
    kept = [row for row in rows if row is not None and row.brier is not None]
    if not kept or len(kept) < len(rows):
        return None
    errors = [row.ece.change.value for row in kept if row.ece is not None]
    return CalibrationMean(
        ece=statistics.mean(errors) if len(errors) == len(kept) else None,
        brier=statistics.mean(row.brier.change.value for row in kept if row.brier is not None),
        overconfidence=statistics.mean(row.overconfidence.change.value for row in kept),
        items=max(row.items for row in kept),
    )


def _kept(record: CalibrationRow) -> SuiteCalibration | None:
    """Returns the calibration of all retained suites together, or of the only one."""
    if record.retained is not None:
        return record.retained
    return next((suite for suite in record.suites if suite.role == "retained"), None)
