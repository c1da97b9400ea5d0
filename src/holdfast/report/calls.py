"""`holdfast report` in Python: what `holdfast.report(...)` calls."""

from __future__ import annotations

from holdfast.bench.api import with_fields
from holdfast.bench.given.specs import ReportSpec
from holdfast.report.compare import report as _report

report = with_fields(
    ReportSpec,
    _report,
    "report",
    __name__,
    """Reads folders of finished runs, and returns a `holdfast.TradeOff` of each set that can be set side by side.

    It is `holdfast report` in Python; the fields are those of `ReportSpec`, which are the arguments of the command.

    Raises:
        HoldfastError: For anything the caller can mend, in one sentence.
    """,
)
