"""The options of `fit`, as those of the other commands in `specs.py`; the standard library alone."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from holdfast.bench.given.limits import SEEDS
from holdfast.bench.given.options import option
from holdfast.bench.given.specs import RunSpec, TrainingSpec
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import Guard, budget_and_guard


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitSpec(TrainingSpec):
    """The options of a fit: a model, its data, what may be lost, and what it may cost.

    Raises:
        HoldfastError: A value has the wrong type or is out of range; names the option and the accepted values.
    """

    cost: str | float = option(
        "most that all trainings together may cost, in plain runs: one trains all weights on the data alone, for as "
        "many epochs as the plan advises",
        "3x",
        metavar="RUNSx",
    )
    pilot: bool = option("try recipes on a tenth of the data before the full run", True)
    search: bool = option("search for better settings with what is left of --cost", True)
    engine: str = option(
        "where the trials of the search run: local, ray (the Ray cluster of this machine, or one started here), or the"
        " address of a Ray cluster",
        "local",
        metavar="local|ray|ADDRESS",
    )
    heal: bool = option("bring a full run that is outside the budget back inside", True)
    seed: int = option("seed of all random numbers", 0, metavar="N", low=0, below=SEEDS)
    out: str = option("folder for the model, the record of each stage and the result", "fit", metavar="FOLDER")

    def __post_init__(self) -> None:
        """Checks every value."""
        super().__post_init__()
        if not self.budget:
            raise HoldfastError("--budget is missing: say what may be lost, as in --budget points=2.")
        self.guard()
        self.plain_runs()
        if self.engine not in ("local", "ray") and ":" not in self.engine:
            raise HoldfastError(
                f"--engine {self.engine}: give local, ray, or the address of a Ray cluster, as in ray://host:10001."
            )
        self._keep_by_default(self.model)
        if not self.keep and not self.reranks:
            raise HoldfastError("--keep is missing: name files or suites that the model must not get worse at.")
        if self.test is None and self.held_out == 0:
            raise HoldfastError("--test is missing: with --held-out 0 nothing measures what the model learns.")

    def plain_runs(self) -> float:
        """Returns the cost in plain runs.

        Raises:
            HoldfastError: It is not a positive number, with or without an x behind it.
        """
        try:
            runs = float(str(self.cost).removesuffix("x"))
        except ValueError:
            runs = math.nan
        if not 0 < runs < math.inf:
            raise HoldfastError(f"--cost {self.cost}: give a number of plain runs above 0, as in --cost 3x.")
        return runs

    def promise(self) -> Budget:
        """Returns the budget."""
        return budget_and_guard(self.budget)[0]

    def allowed(self) -> Budget | None:
        """Returns the budget, whose keys may stand beside those of the guard; None if the user gives none."""
        return self.promise() if self.budget else None

    def guard(self) -> Guard:
        """Returns the settings of the guard, which watches the budget during the full run."""
        return budget_and_guard(self.budget)[1]

    def run(self, **changes: Any) -> RunSpec:
        """Returns the options of a run with these options."""
        names = {field.name for field in dataclasses.fields(TrainingSpec)} - {"out"}
        return RunSpec(**{**{name: getattr(self, name) for name in names}, "seed": self.seed, **changes})
