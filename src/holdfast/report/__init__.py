"""What run folders say, as text, tables and pictures.

The package can be called: `holdfast.report(runs=["compare/"])` is `holdfast report` in Python. It reads folders of
finished runs, and returns a `holdfast.TradeOff` of each set that can be set side by side. The fields are those of
`holdfast.ReportSpec`, which are the arguments of the command.
"""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.report.calls import report
else:

    class _Room(types.ModuleType):
        """A package that is a function too: Python binds `holdfast.report` to the package as soon as it is imported, so
        that a function of that name would be there only until then.
        """

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Calls `holdfast.report.calls.report`."""
            from holdfast.report.calls import report as call

            return call(*args, **kwargs)

        @property
        def __signature__(self) -> Any:
            """Returns the fields, for `help` and editors."""
            import inspect

            from holdfast.bench.given.specs import ReportSpec

            return inspect.signature(ReportSpec)

    report = sys.modules[__name__]
    report.__class__ = _Room

__all__ = ["report"]
