"""Compare recipes on one model and one set of data: every recipe at every dose with every seed, each in its folder.

<out>/<run>/          the runs, as `holdfast train` leaves them
      base/           what the base answered, asked once
      logs/<run>.txt  what a run said
      compare-*.json  what was asked for, and what became of each run
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.bench.compare.plan import Plan, PlannedRun, plan
from holdfast.bench.compare.worker_pool import WorkerPool, exiting_on_signal
from holdfast.bench.given.specs import CompareSpec
from holdfast.bench.machine.files import write_json
from holdfast.bench.measured.base_cache import model_digest
from holdfast.bench.run.folder import folder_of, open_folder
from holdfast.bench.run.inputs import memory_paths
from holdfast.core.errors import HoldfastError
from holdfast.recipe import parse


@dataclasses.dataclass(frozen=True)
class CompareResult:
    """A comparison.

    Attributes:
        spec: What was asked for.
        folders: Of the runs that finished.
        failed: What went wrong, by the name of a run's folder.
    """

    spec: CompareSpec
    folders: tuple[Path, ...]
    failed: Mapping[str, str]

    @property
    def exit_code(self) -> int:
        """Returns 0, or 1 if a run failed."""
        return 1 if self.failed else 0


def compare(spec: CompareSpec, console: Console | None = None) -> CompareResult:
    """Makes the runs that are not finished yet, and returns where all are; one that crashes is reported.

    Args:
        spec: What is compared.
        console: Where progress is printed; the terminal if absent.

    Raises:
        HoldfastError: For anything the user can mend before the first run. Interrupted, the same call goes on.
    """
    console = console or Console(stderr=True)
    planned = plan(spec)
    out = Path(spec.out)
    todo = [one for one in planned.runs if not open_folder(folder_of(one.spec), one.spec)]
    _introduce(planned, len(planned.runs) - len(todo), console)
    bases = out / "base" / model_digest(spec.model)
    failed: dict[str, str] = {}
    if todo:
        (out / "logs").mkdir(parents=True, exist_ok=True)
        _record(spec, planned, {})
        with exiting_on_signal(), WorkerPool(spec.workers) as crew:
            _ask_base(todo, spec.budget, bases, out, crew, console)
            failed = _make(todo, bases, out, crew, console)
    folders = tuple(folder for one in planned.runs if ((folder := folder_of(one.spec)) / "result.json").exists())
    _record(spec, planned, failed)
    for name, why in failed.items():
        console.print(f"failed: {name}: {why}", style="red", highlight=False, markup=False, soft_wrap=True)
        if (log := out / "logs" / f"{name}.txt").exists():
            console.print(f"  {log}", highlight=False, markup=False, soft_wrap=True)
    return CompareResult(spec, folders, failed)


def _introduce(planned: Plan, finished: int, console: Console) -> None:
    shared = sum(one.trunk is not None for one in planned.runs)
    there = f", {finished} of them finished before" if finished else ""
    sharing = f"; {shared} only edit the weights of another" if shared else ""
    console.print(f"{len(planned.runs)} runs{there}{sharing}.", highlight=False)
    for note in planned.notes:
        console.print(f"  {note}", style="yellow", highlight=False, markup=False)


def _ask_base(
    todo: Sequence[PlannedRun], budget: Mapping[str, Any], bases: Path, out: Path, crew: WorkerPool, console: Console
) -> None:
    """Asks the base what the runs will ask it, once for each set of memories, which nothing measured may stand in."""
    by_memories: dict[tuple[str, ...], PlannedRun] = {}
    for one in todo:
        paths, _ = memory_paths(parse(one.spec.recipe), one.spec)
        by_memories.setdefault(tuple(paths.values()), one)
    for one in by_memories.values():
        job = {"kind": "base", "spec": one.spec.to_dict(), "bases": str(bases), "budget": budget}
        job["log"] = str(out / "logs" / "base.txt")
        with console.status("asking the base ..."):
            error = crew.first(job).get("error")
        if error:
            raise HoldfastError(error)


def _make(todo: Sequence[PlannedRun], bases: Path, out: Path, crew: WorkerPool, console: Console) -> dict[str, str]:
    """Makes the runs, and returns what went wrong by the name of a run's folder."""
    failed: dict[str, str] = {}
    clock = _Clock(todo, crew.size)

    def job(one: PlannedRun) -> dict[str, Any]:
        folder = folder_of(one.spec)
        trained = None if one.trunk is None else str(folder_of(one.trunk))
        made = {"kind": "run", "spec": one.spec.to_dict(), "bases": str(bases), "trained": trained}
        return {**made, "log": str(out / "logs" / f"{folder.name}.txt")}

    for wave in _waves(todo):
        ready = []
        for one in wave:
            if one.trunk is not None and not (folder_of(one.trunk) / "result.json").exists():
                failed[folder_of(one.spec).name] = f"it edits {folder_of(one.trunk).name}, which has not finished."
                clock.skip(one)
            else:
                ready.append(one)
        with console.status(clock.words()) as status:
            for one, said, seconds in crew.all([(one, job(one)) for one in ready]):
                clock.done(one, seconds)
                if "error" in said:
                    failed[folder_of(one.spec).name] = said["error"]
                word = "FAILED" if "error" in said else "done"
                console.print(
                    f"{clock.finished}/{clock.total} {word} in {seconds:.0f} s: {one.recipe!r}, dose {one.dose:g}, "
                    f"seed {one.spec.seed}{clock.left()}",
                    highlight=False,
                    markup=False,
                    soft_wrap=True,
                )
                status.update(clock.words())
    return failed


def _waves(runs: Sequence[PlannedRun]) -> list[list[PlannedRun]]:
    """Returns those that train, and after them those that edit what was trained."""
    return [[one for one in runs if one.trunk is None], [one for one in runs if one.trunk is not None]]


def _record(spec: CompareSpec, planned: Plan, failed: Mapping[str, str]) -> None:
    runs = []
    for one in planned.runs:
        folder = folder_of(one.spec)
        about: dict[str, Any] = {"folder": folder.name, "recipe": repr(one.recipe), "dose": one.dose}
        about |= {"seed": one.spec.seed, "finished": (folder / "result.json").exists()}
        about |= {"edits": folder_of(one.trunk).name} if one.trunk is not None else {}
        runs.append(about | ({"error": failed[folder.name]} if folder.name in failed else {}))
    asked = spec.to_dict()
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:8]
    write_json(Path(spec.out) / f"compare-{digest}.json", {"asked": asked, "runs": runs, "notes": list(planned.notes)})


class _Clock:
    """How long the rest will take, from how long runs of each kind have taken so far."""

    def __init__(self, todo: Sequence[PlannedRun], workers: int) -> None:
        self.total, self.finished, self.workers = len(todo), 0, workers
        self.waiting = {kind: sum((one.trunk is None) == kind for one in todo) for kind in (True, False)}
        self.took: dict[bool, list[float]] = {True: [], False: []}

    def skip(self, one: PlannedRun) -> None:
        """Counts a run that is not made."""
        self.finished += 1
        self.waiting[one.trunk is None] -= 1

    def done(self, one: PlannedRun, seconds: float) -> None:
        """Counts a run that is made."""
        self.skip(one)
        self.took[one.trunk is None].append(seconds)

    def left(self) -> str:
        """Returns what to say of the time left; nothing where none is, or nothing is known."""
        means = {kind: sum(took) / len(took) for kind, took in self.took.items() if took}
        if not means or not any(self.waiting.values()):
            return ""
        rest = sum(count * means.get(kind, min(means.values())) for kind, count in self.waiting.items()) / self.workers
        return f"; about {rest / 60:.0f} min left" if rest >= 90 else f"; about {rest:.0f} s left"

    def words(self) -> str:
        """Returns how far it is."""
        return f"{self.finished} of {self.total} runs{self.left()}"
