"""Fits of real models inside a budget, beside TRL's defaults and the starter that people read, on the same questions.

    python benchmarks/fit_real.py run --models FOLDER [--only "fit gemma labels"]     (resumable: a row is made once)
    python benchmarks/fit_real.py report                                                       (needs no model)

Rows to train on, test questions and kept items are those of the study on real models (`real.py`), on labels and facts,
with a budget of two points in the mean of the kept items and three plain runs. `fit` gets nothing else: it plans, lets
the base write its old examples, searches as far as the cost goes, trains, heals, and judges on test items. TRL and the
starter train once (`fit.py` says what they are). HOLDFAST_SUITES names the folder of public sets.

docs/studies/fit-real.jsonl        a row for each run
docs/studies/fit-real-tables.md    the table
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import fit
import real
from real_written import precision
from rich.console import Console
from tables import grid

import holdfast
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.files import append_jsonl, read_jsonl, write_atomically
from holdfast.bench.run.run import train

STUDIES = Path(__file__).parents[1] / "docs" / "studies"
ROWS, TABLES = STUDIES / "fit-real.jsonl", STUDIES / "fit-real-tables.md"


@dataclasses.dataclass(frozen=True)
class Job:
    """A run: its kind, and the model, task and seed."""

    kind: str
    model: str
    task: str
    seed: int = 0

    @property
    def key(self) -> str:
        """Returns its name."""
        return f"{self.kind} {self.model} {self.task} {self.seed}"


def jobs() -> Iterator[Job]:
    """Yields the runs, the most telling ones first."""
    for task in real.TWO_TASKS:
        for model in real.MODELS:
            yield from (Job(kind, model, task) for kind in ("fit", *fit.FIXED))


def given(job: Job, out: Path, models: Path) -> dict[str, Any]:
    """Returns the options that all kinds share: model, data, and what is asked."""
    folder = real.files(out, job.model, job.task)
    return {
        "model": str(models / real.MODELS[job.model]), "data": str(folder / "train.jsonl"),
        "test": str(folder / "test.jsonl"), "keep": (str(folder / "keep.jsonl"),),
        "budget": {"points": fit.BUDGET}, "seed": job.seed, "max_length": 256, "precision": precision(),
    }  # fmt: skip


def made(job: Job, out: Path, models: Path) -> dict[str, Any]:
    """Makes a run, and returns its row."""
    options, folder = given(job, out, models), out / job.key.replace(" ", "-")
    about = {"precision": options["precision"]}
    if job.kind == "fit":
        record = holdfast.fit(**options, cost=fit.COST, out=str(folder))
        stages = {
            stage.name: [stage.done, stage.spent, round(stage.seconds), stage.sentence.replace(str(folder), "fit")]
            for stage in record.stages
        }
        more = {"recipe": record.recipe, "cost": record.cost.spent, "healed": record.healed, "stages": stages}
        return {**fit.outcome_row(job, record), **about, **more, "seconds": round(record.seconds)}
    recipe, training = fit.FIXED[job.kind]
    budget = {"points": fit.BUDGET, "on_spent": "log", "every": 10**6}
    spec = RunSpec(**options | {"budget": budget}, recipe=recipe, training=training, held_out=0.0, batch_size=8,
                   out=str(folder), name=job.kind)  # fmt: skip
    came = train(spec, Console(), bases=out / "bases")
    more = {"recipe": came.spec.recipe, "cost": None}
    return {**fit.outcome_row(job, came.record), **about, **more, "seconds": round(came.record.seconds.all)}


def run(only: str, out: Path, models: Path) -> None:
    """Makes the runs that have no row."""
    for job in jobs():
        if only in job.key and all(row["run"] != job.key for row in rows()):
            row = made(job, out, models)
            append_jsonl(ROWS, row)
            print(time.strftime("%H:%M:%S"), job.key, *(row[name] for name in ("learned", "lost", "verdict")))


def rows() -> list[dict[str, Any]]:
    """Returns the rows that are written."""
    return list(read_jsonl(ROWS)) if ROWS.exists() else []


def table(found: Sequence[dict[str, Any]]) -> str:
    """Returns the table as Markdown."""
    head = "what | model | task | seed | learned | lost | worst suite | verdict | plain runs | minutes | recipe"
    cells = []
    for row in found:
        cost = "-" if row["cost"] is None else f"{row['cost']:.2f}"
        name, worst = row["worst"]
        cells.append([
            row["kind"], row["model"], row["task"], row["seed"], f"{row['learned']:.1f}", f"{row['lost']:.1f}",
            f"{name} {worst:.1f}", row["verdict"], cost, f"{row['seconds'] / 60:.0f}", f"`{row['recipe']}`",
        ])  # fmt: skip
    return "\n".join(["# Fits of real models", "", *grid(head, cells)]) + "\n"


def main() -> None:
    """Makes runs, or writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--models", type=Path, default=Path.home() / ".cache" / "holdfast-models")
    parser.add_argument("--only", default="", help="part of the names of the runs to make")
    parser.add_argument("--out", type=Path, default=Path("runs/fit-real"))
    options = parser.parse_args()
    if options.what == "run":
        run(options.only, options.out, options.models)
    else:
        write_atomically(TABLES, table(rows()))


if __name__ == "__main__":
    main()
