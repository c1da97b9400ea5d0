"""`holdfast report` in Python: the function behind `holdfast.report(...)`."""

from __future__ import annotations

from holdfast.bench.api import with_fields
from holdfast.bench.given.specs import ReportSpec
from holdfast.report.compare import report as _report

report = with_fields(
    ReportSpec,
    _report,
    "report",
    __name__,
    """Reads folders of finished runs, and returns a `holdfast.TradeOff` for each set of runs that can be compared.

    This is `holdfast report` in Python. Its arguments are the fields of `ReportSpec`, which are also those of the
    command.

    Raises:
        HoldfastError: For any error that the caller can fix, in one sentence.
    """,
)
