"""Compare recipes on one model and one set of data: every recipe at every dose with every seed, each in its folder.

<out>/<run>/          the runs, as `holdfast train` leaves them
      base/           what the base answered, asked once
      logs/<run>.txt  what a run said
      compare-*.json  what was asked for, and what became of each run
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from holdfast.bench.folder import folder_of, open_folder
from holdfast.bench.once import model_digest
from holdfast.bench.plan import Plan, Planned, plan
from holdfast.bench.records import CompareSpec, write_json
from holdfast.bench.understood import memories_of
from holdfast.bench.worker import SIGN
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
    todo = [one for one in planned.runs if open_folder(folder_of(one.spec), one.spec) is None]
    _introduce(planned, len(planned.runs) - len(todo), console)
    bases = out / "base" / model_digest(spec.model)
    failed: dict[str, str] = {}
    if todo:
        (out / "logs").mkdir(parents=True, exist_ok=True)
        _record(spec, planned, {})
        with _told_to_end(), _Crew(spec.workers) as crew:
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
    todo: Sequence[Planned], budget: Mapping[str, Any], bases: Path, out: Path, crew: _Crew, console: Console
) -> None:
    """Asks the base what the runs will ask it, once for each set of memories, which nothing measured may stand in."""
    by_memories: dict[tuple[str, ...], Planned] = {}
    for one in todo:
        paths, _ = memories_of(parse(one.spec.recipe), one.spec)
        by_memories.setdefault(tuple(paths.values()), one)
    for one in by_memories.values():
        job = {"kind": "base", "spec": one.spec.to_dict(), "bases": str(bases), "budget": budget}
        job["log"] = str(out / "logs" / "base.txt")
        with console.status("asking the base ..."):
            error = crew.first(job).get("error")
        if error:
            raise HoldfastError(error)


def _make(todo: Sequence[Planned], bases: Path, out: Path, crew: _Crew, console: Console) -> dict[str, str]:
    """Makes the runs, and returns what went wrong by the name of a run's folder."""
    failed: dict[str, str] = {}
    clock = _Clock(todo, crew.size)

    def job(one: Planned) -> dict[str, Any]:
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


def _waves(runs: Sequence[Planned]) -> list[list[Planned]]:
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

    def __init__(self, todo: Sequence[Planned], workers: int) -> None:
        self.total, self.finished, self.workers = len(todo), 0, workers
        self.waiting = {kind: sum((one.trunk is None) == kind for one in todo) for kind in (True, False)}
        self.took: dict[bool, list[float]] = {True: [], False: []}

    def skip(self, one: Planned) -> None:
        """Counts a run that is not made."""
        self.finished += 1
        self.waiting[one.trunk is None] -= 1

    def done(self, one: Planned, seconds: float) -> None:
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


@contextlib.contextmanager
def _told_to_end() -> Iterator[None]:
    """Lets a request to end (a closed terminal, a scheduler) end what we have started too, as an interrupt does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: Any) -> None:
        raise SystemExit(128 + number)

    signals = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    held = {number: signal.signal(number, end) for number in signals}
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)


class _Crew:
    """Processes that do jobs, each with its share of the processors, and one of the GPUs where there are several."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.members: list[_Member] = []

    def __enter__(self) -> _Crew:
        share = max(1, len(os.sched_getaffinity(0)) // self.size) if hasattr(os, "sched_getaffinity") else 1
        named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        gpus = named or [str(number) for number in range(torch.cuda.device_count())]
        for number in range(self.size):
            env = {"OMP_NUM_THREADS": str(share), **os.environ}
            if len(gpus) > 1:
                env["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
            self.members.append(_Member(env))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for member in self.members:
            member.end(kill=kind is not None)

    def first(self, job: Mapping[str, Any]) -> dict[str, str]:
        """Returns the answer of one of them to a job."""
        return self.members[0].ask(job)

    def all(self, jobs: Sequence[tuple[Planned, Mapping[str, Any]]]) -> Iterator[tuple[Planned, dict[str, str], float]]:
        """Yields the answer to each job and the seconds it took, in the order in which they are done."""
        waiting: queue.SimpleQueue[tuple[Planned, Mapping[str, Any]]] = queue.SimpleQueue()
        found: queue.SimpleQueue[tuple[Planned, dict[str, str], float]] = queue.SimpleQueue()
        for job in jobs:
            waiting.put(job)

        def work(member: _Member) -> None:
            with contextlib.suppress(queue.Empty):
                while True:
                    one, job = waiting.get_nowait()
                    started = time.monotonic()
                    said = member.ask(job)
                    found.put((one, said, time.monotonic() - started))

        for member in self.members:
            threading.Thread(target=work, args=(member,), daemon=True).start()
        for _ in jobs:
            yield found.get()


class _Member:
    """A process that does jobs, started when it is asked, and again if it has gone."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self.process: subprocess.Popen[str] | None = None

    def ask(self, job: Mapping[str, Any]) -> dict[str, str]:
        """Returns its answer to a job."""
        process = self.process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            line = next((line for line in process.stdout if line.startswith(SIGN)), "")
        except OSError:
            line = ""
        if not line:
            self.end(kill=True)
            return {"error": f"The process that makes runs is gone (exit code {process.poll()}).", "kind": "crash"}
        answer: dict[str, str] = json.loads(line.removeprefix(SIGN))
        return answer

    def end(self, *, kill: bool) -> None:
        """Ends it, and with `kill` also what it is at."""
        process, self.process = self.process, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        if kill:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _start(self) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "holdfast.bench.worker"]
        # Of a session of its own: an interrupt is for us, and we tell them.
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.env, start_new_session=True
        )
        return self.process
