"""`holdfast demo`: a shipped base learns with plain training and with Holdfast, measured side by side.

The language model learns facts about new people; the reranker learns to rank the clauses of contracts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.bench.compare.worker_pool import WorkerPool, exiting_on_signal
from holdfast.bench.given.model_content import model_digest
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.lines import print_line
from holdfast.bench.run.folder import folder_of, open_folder
from holdfast.bench.run.run import RunResult, train
from holdfast.core.errors import HoldfastError
from holdfast.ground.names import BASE, RERANKER

RECIPES = {
    "plain": "Train(lr=5e-4, epochs=5, batch=16) + Cosine()",
    "held": "Train(lr=3e-4, epochs=5, batch=16) + Holdfast('ground:instructions/memory') + FreezeBottom()",
}
"""The recipes: plain training at a rate at which it loses little, and Holdfast with old conversations and frozen lower
layers, which suit facts and make a step cheaper (docs/which-method.md). The rate of the second comes from a search over
2e-4, 3e-4, 5e-4 and 1e-3 with seeds 10 and 11, on the items of the demo and on others."""
RANKING = {
    "plain": "Train(lr=5e-4, epochs=3, batch=16) + Cosine()",
    "held": "Train(lr=5e-4, epochs=3, batch=16) + Cosine() + BaseKL() + Rehearsal('old', ratio=0.2)",
}
"""The recipes of the reranker: plain training, and with a penalty to the base's order and a fifth of old lists."""
OLD = ("people", "towns", "events", "shop", "land")
"""The domains that the reranker knows, whose queries are kept."""
BUDGET = {"points": 2, "on_spent": "log"}
"""The budget of the verdict; its guard only logs, so that both runs train to the end."""
SECONDS = {"generate": 230, "rerank": 120}
"""Approximate duration on two idle cores, in seconds."""
AFTER_BASE = 4.0
"""Approximate time to train and to ask again, as a multiple of the time to ask the base, on two cores."""
STEP = 20.0
"""Seconds between two lines on the time left, outside a terminal."""


@dataclasses.dataclass(frozen=True)
class DemoResult:
    """The finished runs, by the name of their recipe.

    Attributes:
        runs: The runs.
        seconds: Wall time; None if a run was already finished.
        task: What the shipped base does: "generate" or "rerank".
    """

    runs: dict[str, RunResult]
    seconds: float | None = None
    task: str = "generate"
    exit_code: int = 0


def demo(out: str = "demo-runs", seed: int = 0, console: Console | None = None, task: str = "generate") -> DemoResult:
    """Runs both recipes on a shipped base at the same time, and returns the finished runs.

    Args:
        out: Folder for the runs; finished runs in it are used again.
        seed: Seed of the fine-tuning; base and data are fixed.
        console: Console for progress; the terminal by default.
        task: "generate" for the language model, "rerank" for the reranker.

    Raises:
        HoldfastError: The folder cannot be used, or a run failed.
    """
    console, started = console or Console(), time.monotonic()
    make, recipes = (_ranking_spec, RANKING) if task == "rerank" else (_spec, RECIPES)
    specs = {name: make(name, recipe, seed, out) for name, recipe in recipes.items()}
    todo = {name: spec for name, spec in specs.items() if not open_folder(folder_of(spec), spec)}
    if todo:
        _say(console, f"{_announced(_processors(), SECONDS[task])} Logs: {Path(out) / 'logs'}")
        _make(todo, Path(out), console, SECONDS[task])
    else:
        _say(console, f"These runs are already finished; delete {out} to run them again.")
    quiet = Console(quiet=True)
    runs = {name: train(spec, quiet) for name, spec in specs.items()}
    return DemoResult(runs, time.monotonic() - started if len(todo) == len(specs) else None, task)


def _announced(processors: int, seconds: int = SECONDS["generate"]) -> str:
    """Returns a sentence on the duration with some number of processors; `seconds` is that with two idle ones."""
    minutes = seconds / 60 * (1 if processors > 1 else 2)
    cores = "two idle cores" if processors > 1 else "one idle core; two would need half of that"
    return f"The demo takes about {minutes:.0f} minutes on {cores}."


def _make(todo: Mapping[str, RunSpec], out: Path, console: Console, seconds: int) -> None:
    """Makes the runs side by side, each in a process with one thread, after asking the base once.

    Raises:
        HoldfastError: One of them failed.
    """
    bases, logs = out / "base" / model_digest(next(iter(todo.values())).model), out / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    jobs = {
        name: {"kind": "run", "spec": spec.to_dict(), "bases": str(bases), "log": str(logs / f"{spec.name}.txt")}
        for name, spec in todo.items()
    }
    base = {**next(iter(jobs.values())), "kind": "base", "budget": BUDGET, "log": str(logs / "base.txt")}
    # Waiting threads spin, which slows a busy machine down, so each process has a single thread.
    with exiting_on_signal(), WorkerPool(len(todo), threads=1) as pool:
        started = time.monotonic()
        left = float(seconds)
        if not any(spec.reranks for spec in todo.values()):  # each run of a reranker ranks with its base itself
            with _waiting("asking the base what it knows", seconds, console):
                base_answer = pool.first(base)
            _check(base_answer, "base", base["log"])
            left = AFTER_BASE * (time.monotonic() - started) * (1 if _processors() > 1 else 2)
        with _waiting(f"training {' and '.join(todo)}, and asking again", left, console):
            for name, answer, _ in pool.all(list(jobs.items())):
                _check(answer, name, jobs[name]["log"])


def _check(answer: Mapping[str, str], name: str, log: Any) -> None:
    if "error" in answer:
        raise HoldfastError(f"{name}: {answer['error'].rstrip('.')}; its log is {log}.")


@contextlib.contextmanager
def _waiting(what: str, left: float, console: Console) -> Iterator[None]:
    """Shows a task and the time left: every second in a terminal, else every `STEP` seconds.

    Args:
        what: Name of the task.
        left: Expected seconds for this task and all later ones.
        console: Console for the progress.
    """
    started, done = time.monotonic(), threading.Event()

    def line() -> str:
        return f"{what}: {time_left(left - (time.monotonic() - started))}"

    def tell() -> None:
        _say(console, line())
        while not done.wait(STEP):
            _say(console, line())

    with contextlib.ExitStack() as stack:
        if console.is_terminal:
            status = stack.enter_context(console.status(line()))

            def tick() -> None:
                while not done.wait(1.0):
                    status.update(line())
        else:
            tick = tell
        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def time_left(seconds: float) -> str:
    """Returns the approximate time left as text."""
    if seconds < 5:
        return "should be done by now; other work may be slowing it down" if seconds < -10 else "nearly done"
    return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {-(-seconds // 10) * 10:.0f} s left"


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _say(console: Console, words: str) -> None:
    print_line(console, words)


def _spec(name: str, recipe: str, seed: int, out: str) -> RunSpec:
    return RunSpec(
        model=BASE,
        data="ground:people/few",
        test="ground:people/few-test",
        keep=("ground:suites/sample",),
        budget=BUDGET,
        recipe=recipe,
        out=out,
        name=f"{name}-seed{seed}",
        seed=seed,
        max_length=128,
        batch_size=16,
        resume=True,
        training={"save_strategy": "no"},
    )


def _ranking_spec(name: str, recipe: str, seed: int, out: str) -> RunSpec:
    return RunSpec(
        model=RERANKER,
        data="ground:rerank/contracts/train:480",
        test="ground:rerank/contracts/cut",
        keep=tuple(f"ground:rerank/{domain}/cut" for domain in OLD),
        memory=(f"old=ground:rerank/{OLD[0]}/train",),
        budget=BUDGET,
        recipe=recipe,
        out=out,
        name=f"rerank-{name}-seed{seed}",
        seed=seed,
        max_length=128,
        batch_size=16,
        resume=True,
        training={"save_strategy": "no"},
    )
