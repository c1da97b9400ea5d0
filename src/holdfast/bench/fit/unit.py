"""The unit of a fit's cost: a plain run, in whose price every training is stated before it begins."""

from __future__ import annotations

from typing import Protocol

from holdfast.bench.fit.trials import Candidate


class Unit(Protocol):
    """A plain run: all weights train on the data alone, in the plan's batches, for the plan's epochs."""

    @property
    def epochs(self) -> float:
        """Passes over the data."""

    @property
    def batch(self) -> int:
        """Rows of a step."""

    @property
    def about(self) -> str:
        """What a pass reads, as in "1,200 examples"."""

    def price(self, candidate: Candidate, share: float = 1.0) -> float:
        """Returns what a share of a candidate's training costs, in plain runs."""
