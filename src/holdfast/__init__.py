"""Fine-tune language models without forgetting.

Each public name is imported when it is first asked for, so that `import holdfast` (and with it the command line's help)
costs next to nothing. Type checkers read `__init__.pyi`, which `python -m holdfast.report.stubs` writes from the maps
here and in `holdfast.methods.names`.
"""

from __future__ import annotations

import importlib
from typing import Any

from holdfast.methods import names as _names

__version__ = "0.1.0"

_HOME = {
    "attach": "holdfast.train.attach",
    "Budget": "holdfast.core.budget",
    "Guard": "holdfast.core.guard",
    "fine_tune": "holdfast.bench.api",
    "fit": "holdfast.bench.api",
    "compare": "holdfast.bench.api",
    "diff": "holdfast.bench.api",
    "heal": "holdfast.bench.api",
    "verify": "holdfast.bench.api",
    "report": "holdfast.report",
    "plan": "holdfast.bench.api",
    "parse": "holdfast.recipe",
    "functional": "holdfast.functional",
    "Method": "holdfast.core.method",
    "setting": "holdfast.core.settings",
    "Example": "holdfast.core.mix",
    "Item": "holdfast.probes.items",
    "Suite": "holdfast.probes.suite",
    "RunSpec": "holdfast.bench.given.specs",
    "CompareSpec": "holdfast.bench.given.specs",
    "DiffSpec": "holdfast.bench.given.specs",
    "FitSpec": "holdfast.bench.given.fit_spec",
    "HealSpec": "holdfast.bench.given.heal_spec",
    "ReportSpec": "holdfast.bench.given.specs",
    "VerifySpec": "holdfast.bench.given.verify_spec",
    "PlanSpec": "holdfast.bench.given.specs",
    "RunRecord": "holdfast.bench.run.record",
    "DiffRecord": "holdfast.bench.diff.diff_record",
    "PlanRecord": "holdfast.bench.plan.record",
    "FitRecord": "holdfast.bench.fit.fit_record",
    "HealRecord": "holdfast.bench.heal.heal_record",
    "VerifyRecord": "holdfast.bench.verify.verify_record",
    "TradeOff": "holdfast.bench.compare.tradeoff_record",
    "HoldfastError": "holdfast.core.errors",
    **{name: _names.home_of(name) for name in (*_names.SUMS, *_names.METHODS)},
}
"""The public names, each with the module that holds it, or that it is."""

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    """Returns a public name, importing the module that it lives in."""
    if name not in _HOME:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
    module = importlib.import_module(_HOME[name])
    value = module if module.__name__ == f"holdfast.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
