"""The problem of a fit's search: what a trial costs, and what it learns and loses."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

from rich.console import Console

from holdfast.bench.fit.price import PlainRun
from holdfast.bench.fit.trials import Candidate, TrialOutcome, evaluate
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.measured.base_cache import model_digest
from holdfast.bench.run.folder import digests_of, identity


@dataclasses.dataclass(frozen=True)
class ModelProblem:
    """A model and its data, with a budget.

    Attributes:
        spec: The options that all trials share.
        plain: The unit of the cost.
        bases: Folder of the base's answers.
        console: Console for the progress of the trials.
    """

    spec: RunSpec
    plain: PlainRun
    bases: Path
    console: Console

    @property
    def identity(self) -> str:
        """Returns a digest of everything on which an outcome depends besides the candidate."""
        options = {name: value for name, value in identity(self.spec).items() if name != "recipe"}
        budget = self.spec.budget
        what = (options, budget, digests_of(self.spec), model_digest(self.spec.model), self.plain.epochs)
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]

    def price(self, candidate: Candidate, fidelity: float) -> float:
        """Returns what a trial costs at most, in plain runs."""
        return self.plain.price(candidate, fidelity)

    def evaluate(self, candidate: Candidate, fidelity: float) -> TrialOutcome:
        """Makes a trial, or continues it, and returns its outcome."""
        cost = self.price(candidate, fidelity)
        return evaluate(candidate, fidelity, self.spec, cost=cost, bases=self.bases, console=self.console)
