"""Compares recipes on one model and one data set: each recipe with every dose and seed, each run in its folder.

<out>/<run>/          the runs, as `holdfast train` writes them
      base/           the base's answers, asked once, and while runs train, what it says of their rows
      logs/<run>.txt  the output of a run
      compare-*.json  the options, and the state of each run
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.bench.compare.plan import Plan, PlannedRun, plan
from holdfast.bench.compare.worker_pool import WorkerPool, exiting_on_signal
from holdfast.bench.given.model_content import model_digest
from holdfast.bench.given.precision import resolving_precision
from holdfast.bench.given.specs import CompareSpec
from holdfast.bench.machine.files import write_json
from holdfast.bench.machine.lines import print_line
from holdfast.bench.measured.base_cache import ROWS
from holdfast.bench.run.folder import folder_of, open_folder
from holdfast.bench.run.inputs import memory_paths
from holdfast.bench.run.pushing import unpushed
from holdfast.core.errors import HoldfastError
from holdfast.recipe import parse


@dataclasses.dataclass(frozen=True)
class CompareResult:
    """A comparison.

    Attributes:
        spec: Its options.
        folders: Folders of the finished runs.
        failed: Errors, by the name of the run's folder.
    """

    spec: CompareSpec
    folders: tuple[Path, ...]
    failed: Mapping[str, str]

    @property
    def exit_code(self) -> int:
        """Returns 0, or 1 if a run failed."""
        return 1 if self.failed else 0


@resolving_precision
def compare(spec: CompareSpec, console: Console | None = None) -> CompareResult:
    """Makes the unfinished runs of a comparison, and returns the folders of all; a crash of a run is reported.

    After an interruption, the same call continues the comparison.

    Args:
        spec: The options.
        console: Console for progress; stderr by default.

    Raises:
        HoldfastError: For anything that the user can mend before the first run.
    """
    console = console or Console(stderr=True)
    if unpushed(spec.training) != spec.training:
        raise HoldfastError(
            "training: push_to_hub: a comparison makes many models; leave it out, and push the one that you choose with"
            " holdfast train, or with hf upload."
        )
    planned = plan(spec)
    out = Path(spec.out)
    todo = [run for run in planned.runs if not open_folder(folder_of(run.spec), run.spec)]
    _introduce(planned, len(planned.runs) - len(todo), console)
    bases = out / "base" / model_digest(spec.model)
    failed: dict[str, str] = {}
    if todo:
        (out / "logs").mkdir(parents=True, exist_ok=True)
        _record(spec, planned, {})
        with exiting_on_signal(), WorkerPool(spec.workers) as pool:
            _ask_base(todo, spec.budget, bases, out, pool, console)
            failed = _make(todo, bases, out, pool, console)
        shutil.rmtree(bases / ROWS, ignore_errors=True)
    folders = tuple(folder for run in planned.runs if ((folder := folder_of(run.spec)) / "result.json").exists())
    _record(spec, planned, failed)
    for name, why in failed.items():
        print_line(console, f"failed: {name}: {why}", style="red")
        if (log := out / "logs" / f"{name}.txt").exists():
            print_line(console, f"  {log}")
    return CompareResult(spec, folders, failed)


def _introduce(planned: Plan, finished: int, console: Console) -> None:
    shared = sum(run.trunk is not None for run in planned.runs)
    there = f", {finished} of them finished before" if finished else ""
    sharing = f"; {shared} only edit the weights of another" if shared else ""
    console.print(f"{len(planned.runs)} runs{there}{sharing}.", highlight=False)
    for note in planned.notes:
        print_line(console, f"  {note}", style="yellow")


def _ask_base(
    todo: Sequence[PlannedRun], budget: Mapping[str, Any], bases: Path, out: Path, pool: WorkerPool, console: Console
) -> None:
    """Asks the base the questions of the runs, once for each set of old examples, which change what is measured."""
    by_memories: dict[tuple[str, ...], PlannedRun] = {}
    for run in todo:
        paths, _ = memory_paths(parse(run.spec.recipe), run.spec)
        by_memories.setdefault(tuple(paths.values()), run)
    for run in by_memories.values():
        job = {"kind": "base", "spec": run.spec.to_dict(), "bases": str(bases), "budget": budget}
        job["log"] = str(out / "logs" / "base.txt")
        with console.status("asking the base ..."):
            error = pool.first(job).get("error")
        if error:
            raise HoldfastError(error)


def _make(todo: Sequence[PlannedRun], bases: Path, out: Path, pool: WorkerPool, console: Console) -> dict[str, str]:
    """Makes the runs, and returns errors by the name of the run's folder."""
    failed: dict[str, str] = {}
    clock = _Clock(todo, pool.size)

    def job(run: PlannedRun) -> dict[str, Any]:
        folder = folder_of(run.spec)
        trained = None if run.trunk is None else str(folder_of(run.trunk))
        fields = {"kind": "run", "spec": run.spec.to_dict(), "bases": str(bases), "trained": trained}
        return {**fields, "log": str(out / "logs" / f"{folder.name}.txt")}

    for wave in _waves(todo):
        ready = []
        for run in wave:
            if run.trunk is not None and not (folder_of(run.trunk) / "result.json").exists():
                failed[folder_of(run.spec).name] = f"it edits {folder_of(run.trunk).name}, which has not finished."
                clock.skip(run)
            else:
                ready.append(run)
        with console.status(clock.words()) as status:
            for run, reply, seconds in pool.all([(run, job(run)) for run in ready]):
                clock.done(run, seconds)
                if "error" in reply:
                    failed[folder_of(run.spec).name] = reply["error"]
                word = "FAILED" if "error" in reply else "done"
                print_line(
                    console,
                    f"{clock.finished}/{clock.total} {word} in {seconds:.0f} s: {run.recipe!r}, dose {run.dose:g}, "
                    f"seed {run.spec.seed}{clock.left()}",
                )
                status.update(clock.words())
    return failed


def _waves(runs: Sequence[PlannedRun]) -> list[list[PlannedRun]]:
    """Returns the runs that train, and then the runs that edit their models."""
    return [[run for run in runs if run.trunk is None], [run for run in runs if run.trunk is not None]]


def _record(spec: CompareSpec, planned: Plan, failed: Mapping[str, str]) -> None:
    runs = []
    for run in planned.runs:
        folder = folder_of(run.spec)
        entry: dict[str, Any] = {"folder": folder.name, "recipe": repr(run.recipe), "dose": run.dose}
        entry |= {"seed": run.spec.seed, "finished": (folder / "result.json").exists()}
        entry |= {"edits": folder_of(run.trunk).name} if run.trunk is not None else {}
        runs.append(entry | ({"error": failed[folder.name]} if folder.name in failed else {}))
    options = spec.to_dict()
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
    write_json(
        Path(spec.out) / f"compare-{digest}.json", {"asked": options, "runs": runs, "notes": list(planned.notes)}
    )


class _Clock:
    """An estimate of the time left, from the mean time of finished runs of each kind (training, editing)."""

    def __init__(self, todo: Sequence[PlannedRun], workers: int) -> None:
        self.total, self.finished, self.workers = len(todo), 0, workers
        self.waiting = {kind: sum((run.trunk is None) == kind for run in todo) for kind in (True, False)}
        self.took: dict[bool, list[float]] = {True: [], False: []}

    def skip(self, run: PlannedRun) -> None:
        """Counts a skipped run."""
        self.finished += 1
        self.waiting[run.trunk is None] -= 1

    def done(self, run: PlannedRun, seconds: float) -> None:
        """Counts a finished run."""
        self.skip(run)
        self.took[run.trunk is None].append(seconds)

    def left(self) -> str:
        """Returns a phrase on the time left; "" if no run is left, or the time is unknown."""
        means = {kind: sum(took) / len(took) for kind, took in self.took.items() if took}
        if not means or not any(self.waiting.values()):
            return ""
        rest = sum(count * means.get(kind, min(means.values())) for kind, count in self.waiting.items()) / self.workers
        return f"; about {rest / 60:.0f} min left" if rest >= 90 else f"; about {rest:.0f} s left"

    def words(self) -> str:
        """Returns a phrase on the progress."""
        return f"{self.finished} of {self.total} runs{self.left()}"
