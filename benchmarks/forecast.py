"""How well thirty steps tell what a whole run learns and loses: short runs beside the rows of other studies.

    python benchmarks/forecast.py run [--minutes 4] [--only 0 people] [--real FILE]        (resumable)
    python benchmarks/forecast_fit.py       (rows to fit.json of the package and to docs/studies/forecast-tables.md)

docs/studies/forecast.jsonl   a row for each short run: what it measured

What the whole runs learned and lost stands in effect.jsonl (the proving ground) and real.jsonl (real models), which
other studies write: a short run takes the first steps of the same recipe on the same data with the same seed.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import functools
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import effect
import study
from study import asked, written

from holdfast.bench.machine.files import append_jsonl, read_jsonl

ROWS = Path(__file__).parents[1] / "docs/studies"
OUT, REAL = Path("runs/forecast"), Path("runs/real")
MODELS = Path.home() / ".cache/holdfast-models"
RECIPES = (
    *("plain", "WSD, leash", "FreezeBottom, WSD, MaskTheTarget", "LoRA", "Rehearsal", "MaskTheTarget"),
    *("LoRA, WSD, leash", "WSD, self-leash", "SelfRehearsal", "LayerwiseDecay", "WSD", "Rehearsal 1%"),
)
"""Recipes whose runs have a short run beside them, the most telling first."""
FIRST = {
    "plain": (0, 1, 2),
    "WSD, leash": (1, 2),
    "FreezeBottom, WSD, MaskTheTarget": (1, 2),
    "LoRA": (0, 1),
    "Rehearsal": (1,),
}
"""The learning rates that come first, by their number."""
BLOCKS = (
    *((0, "language"), (1, "people"), (0, "science"), (1, "labels"), (0, "noisy"), (1, "science"), (0, "people")),
    *((1, "language"), (0, "labels")),
)
TURN = 10
"""Short runs of a world and task that are made at a time; its items and its base are prepared once for them."""
Row = dict[str, Any]


def place(row: Row) -> tuple[Any, ...]:
    """Returns what tells the run of a row from others; `world` is the name of a real model in its rows."""
    return tuple(row[name] for name in ("world", "task", "recipe", "dose", "seed"))


def jobs() -> Iterator[Row]:
    """Yields the rows of the effect study that get a short run: ten of each task and world, then the next ten."""
    rows = [row for row in read_jsonl(ROWS / "effect.jsonl") if row["recipe"] in RECIPES and row["seed"] == 0]

    def order(row: Row) -> tuple[Any, ...]:
        number = sorted(effect.RATES[row["task"]]).index(row["dose"])
        return number not in FIRST.get(row["recipe"], ()), RECIPES.index(row["recipe"]), number

    rows.sort(key=order)
    seen = collections.Counter[tuple[int, str]]()
    turns = []
    for row in rows:
        block = row["world"], row["task"]
        turns.append((seen[block] // TURN, BLOCKS.index(block)))
        seen[block] += 1
    yield from (row for _, row in sorted(zip(turns, rows, strict=True), key=lambda pair: pair[0]))


def real_jobs(path: Path) -> Iterator[Row]:
    """Yields the rows of the study of real models that can have a short run: those of trainings, not of edits."""
    import real

    for row in read_jsonl(path):
        if row["recipe"] not in (*real.EDITS, "base"):
            yield {**row, "world": row["model"]}


def done() -> set[tuple[Any, ...]]:
    path = ROWS / "forecast.jsonl"
    return {place(row) for row in read_jsonl(path)} if path.exists() else set()


@functools.cache
def prepared(world: int | str, task: str) -> Any:
    """Returns the inputs and the reader of a task; the base reads once."""
    from holdfast.bench.forecast.looked import Reader
    from holdfast.bench.given.loading import load_model
    from holdfast.bench.plan.facts import read_plan_inputs

    run = real_run(world, task) if isinstance(world, str) else ground_run(world, task)
    inputs = read_plan_inputs(run)
    return inputs, Reader(load_model(run.model), inputs)


def ground_run(world: int, task: str) -> Any:
    """Returns the options of the runs of the effect study on a task."""
    from holdfast.bench.given.specs import RunSpec

    folder = OUT / "asked" / f"{task}-world{world}"
    if not (folder / "keep.jsonl").exists():
        suites = asked(world, task, study.WATCHED)
        written(folder / "test.jsonl", suites["task"])
        kept = [item for name in suites if name not in study.TOLD.values() for item in suites[name]]
        written(folder / "keep.jsonl", kept)
    return RunSpec(
        model=study.MODELS[world], data=f"ground:{task}@{world}", recipe="Train()", held_out=0.0, max_length=128,
        batch_size=8, test=str(folder / "test.jsonl"), keep=(str(folder / "keep.jsonl"),),
        training={"save_strategy": "no"},
    )  # fmt: skip


def real_run(model: str, task: str) -> Any:
    """Returns the options of the runs of the study of real models on a task, with what its bases wrote."""
    import real

    from holdfast.bench.compare.plan import plan

    spec = real.spec_of(real.Job(model, task, "plain"), REAL, MODELS)
    memories = {"old": REAL / "asked" / f"{model}-{task}" / "old.jsonl"}
    memories |= {name: REAL / "written" / model / f"{name}.jsonl" for name in real.WRITTEN}
    run = next(reversed(plan(spec).runs)).spec
    named = tuple(f"{name}={path}" for name, path in memories.items() if path.exists())
    return dataclasses.replace(run, memory=named, recipe="Train()")


def short(row: Row) -> Row:
    """Makes a short run, and returns what it measured."""
    from holdfast.bench.forecast.short_run import run_shortly

    inputs, reader = prepared(row["world"], row["task"])
    inputs = dataclasses.replace(inputs, run=dataclasses.replace(inputs.run, seed=row["seed"]))
    with tempfile.TemporaryDirectory(prefix="holdfast-forecast-") as folder:
        made = run_shortly(inputs, row["text"], reader, Path(folder))
    values = dataclasses.asdict(made)
    values.pop("recipe")
    about = {name: row[name] for name in ("world", "task", "recipe", "dose", "seed")}
    return {**about, "text": row["text"], "items": counts(inputs.run), **rounded(values)}


def counts(run: Any) -> Row:
    """Returns the number of items of each suite in the files of a run, whose answers other studies keep as bits."""
    kept = collections.Counter(row["suite"] for row in read_jsonl(Path(run.keep[0])) if not row.get("text"))
    return {**kept, "task": sum(1 for _ in read_jsonl(Path(run.test)))}


def rounded(value: Any) -> Any:
    """Returns a value whose numbers have six digits."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value


def run(given: argparse.Namespace) -> None:
    """Makes short runs that have no row, until the time is up."""
    until, there = time.monotonic() + 60 * given.minutes, done()
    left = [row for row in (real_jobs(given.real) if given.real else jobs()) if place(row) not in there]
    if given.only:
        left = [row for row in left if {str(row["world"]), row["task"], row["recipe"]} >= set(given.only)]
    print(f"{len(there)} done, {len(left)} left", flush=True)
    for row in left:
        if time.monotonic() > until:
            return
        began = time.monotonic()
        append_jsonl(ROWS / "forecast.jsonl", short(row))
        print(f"{place(row)}: {time.monotonic() - began:.1f} s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run",), help="make the short runs that have no row")
    parser.add_argument("--minutes", type=float, default=4.0, help="no short run begins later")
    parser.add_argument("--only", nargs="*", default=[], help="world, task and recipe of the short runs to make")
    parser.add_argument("--real", type=Path, metavar="FILE", help="beside the runs of real models in this file of rows")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    run(given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
