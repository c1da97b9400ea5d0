"""Text, tables and plots from run folders.

The package is callable: `holdfast.report(runs=["compare/"])` is `holdfast report` in Python. It reads folders of
finished runs, and returns a `holdfast.TradeOff` for each set of runs that can be compared. Its arguments are the fields
of `holdfast.ReportSpec`, which are also the arguments of the command.
"""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.report.api import report
else:

    class _Room(types.ModuleType):
        """A package that is also a function.

        Python binds `holdfast.report` to the package on import, which would replace a function of that name.
        """

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Calls `holdfast.report.api.report`."""
            from holdfast.report.api import report as call

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
