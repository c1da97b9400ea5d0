"""The problem of a search whose trials are real runs.

<out>/<run>/          the trials, each an ordinary run
      shared/base/    the base's answers, asked once, in a folder for each base
      shared/old/     old examples that the base wrote, written once
      logs/<run>.txt  the output of a trial
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from holdfast.bench.compare.worker_pool import WorkerPool
from holdfast.bench.fit.trials import (
    Candidate,
    TrialOutcome,
    base_folder,
    evaluate,
    failed,
    read_outcome,
    trial_spec,
    trials_options,
)
from holdfast.bench.fit.unit import Unit
from holdfast.bench.given.model_content import model_digest
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.measured.guard_split import NoValidationItems
from holdfast.bench.run.folder import digests_of, folder_of, identity
from holdfast.bench.run.input_digests import folder_contents, sources_of


@dataclasses.dataclass(frozen=True)
class RunProblem:
    """Candidates on a model and its data.

    Attributes:
        spec: The options that all trials share; its `out` holds their folders, and its recipe counts nothing.
        plain: The unit of the cost, which counts prices from the batches of a candidate.
        isolated: Whether each trial has a process of its own, so that one which crashes ends no other, and all memory
            is free after it.
        console: Console for the progress of trials that are not isolated; a log for each by default.
    """

    spec: RunSpec
    plain: Unit
    isolated: bool = True
    console: Console | None = None

    @classmethod
    def of(cls, spec: RunSpec, plain: Unit, *, isolated: bool = True, console: Console | None = None) -> RunProblem:
        """Returns the problem of a run: its options, without those that each candidate sets."""
        return cls(trials_options(spec), plain, isolated, console)

    @property
    def identity(self) -> str:
        """Returns a digest of the options, of the files that they name, of the model, and of the unit of cost."""
        options = {name: value for name, value in identity(self.spec).items() if name != "recipe"}
        about = [
            options,
            self.spec.budget,
            {**digests_of(self.spec), **folder_contents(sources_of(self.spec))},
            model_digest(self.spec.model),
            [self.plain.epochs, self.plain.batch],
        ]
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def holds(self) -> bool:
        """Whether the guard brings whole runs inside the budget."""
        return self.spec.guard().on_spent == "rewind"

    def price(self, candidate: Candidate, fidelity: float) -> float:
        """Returns what a trial costs at most, in plain runs."""
        return self.plain.price(candidate, fidelity)

    def evaluate(self, candidate: Candidate, fidelity: float) -> TrialOutcome:
        """Makes a trial, or continues it if its process ended before, and returns its outcome.

        Raises:
            HoldfastError: No suite has validation items.
        """
        cost = self.price(candidate, fidelity)
        run = trial_spec(candidate, fidelity, self.spec)
        if self.isolated:
            return self._evaluate_apart(run, fidelity, cost)
        with self._console(folder_of(run).name) as console:
            return evaluate(candidate, fidelity, self.spec, cost=cost, shared=self._shared, console=console)

    def _evaluate_apart(self, run: RunSpec, fidelity: float, cost: float) -> TrialOutcome:
        """Makes a trial in a process of its own."""
        folder = folder_of(run)
        log = self._log(folder.name)
        bases = str(base_folder(self._shared, run.model))
        job = {"kind": "run", "spec": run.to_dict(), "bases": bases, "log": str(log)}
        with WorkerPool(1) as pool:
            reply = pool.first({**job, "validation": fidelity < 1, "written": str(self._shared / "old")})
        if reply.get("kind") == "no validation items":
            raise NoValidationItems(reply["error"])
        if "error" in reply:
            return failed(cost, reply["error"], folder)
        return read_outcome(folder, cost)

    @property
    def _shared(self) -> Path:
        return Path(self.spec.out) / "shared"

    def _log(self, name: str) -> Path:
        path = Path(self.spec.out) / "logs" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @contextlib.contextmanager
    def _console(self, name: str) -> Iterator[Console]:
        """Yields the console of the problem, or one that writes to the log of a trial."""
        if self.console is not None:
            yield self.console
            return
        with self._log(name).open("a", encoding="utf-8") as file:
            yield Console(file=file, width=120)
