"""The problem of a fit's search: real runs, with counted prices and with their progress on the display of the fit."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

from rich.console import Console

from holdfast.bench.fit.price import PlainRun
from holdfast.bench.fit.prices import Prices
from holdfast.bench.fit.run_problem import RunProblem
from holdfast.bench.fit.trials import Candidate
from holdfast.bench.given.specs import RunSpec


@dataclasses.dataclass(frozen=True)
class FitProblem(RunProblem):
    """Candidates on a model and its data, in the process of the fit.

    Attributes:
        plain: The unit of the cost, which counts prices from the batches of a candidate.
        console: Console for the progress of the trials.
    """

    plain: PlainRun = dataclasses.field(kw_only=True)
    console: Console = dataclasses.field(kw_only=True)

    @classmethod
    def in_fit(cls, spec: RunSpec, plain: PlainRun, console: Console) -> FitProblem:
        """Returns the problem of the options of a fit's trainings."""
        return cls(spec, Prices(plain.epochs), isolated=False, plain=plain, console=console)

    def price(self, candidate: Candidate, fidelity: float) -> float:
        """Returns what a trial costs at most, in plain runs."""
        return self.plain.price(candidate, fidelity)

    @contextlib.contextmanager
    def _console(self, name: str) -> Iterator[Console]:
        """Yields the console of the fit."""
        yield self.console
