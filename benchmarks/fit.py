"""Does `fit` learn as much inside a budget as a random search, and does it keep the budget? Fits on the proving ground.

    python benchmarks/fit.py run [--minutes 60] [--only "fit people 0"]        (resumable: a row is not made again)
    python benchmarks/fit.py report                                                            (needs no model)

Each task is that of the effect study (`effect.py`): the same rows, test questions and kept items. Beside `fit` stand

    auto       `--recipe auto` of `holdfast train`, with the same budget
    TRL        the defaults of TRL: all weights, 2e-5, three epochs, a linear schedule, batches of 8
    starter    the starter that people read: LoRA of rank 8 in the upper 15% of the layers, 2e-5, batch 16, four epochs
    random     the best of 40 whole runs drawn from the effect study's, chosen by validation items inside the budget

The random searches cost nothing here: `effect.jsonl` has every answer of about ninety runs of a task in the first
world (thirty recipes at three rates; some of them read old documents that `fit` is not given). The second world has
fewer runs than 40, those of recipes that did best in the first.

docs/studies/fit.jsonl        a row for each run
docs/studies/fit-tables.md    the tables
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import scipy.stats
import study
from effect import STUDY
from rich.console import Console
from tables import grid

import holdfast
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.files import append_jsonl, read_jsonl, write_atomically
from holdfast.bench.measured.outcome import Outcome
from holdfast.bench.run.run import train
from holdfast.probes.changes import changes, mean_of
from holdfast.probes.score import Score

ROWS, TABLES = Path("docs/studies/fit.jsonl"), Path("docs/studies/fit-tables.md")
BUDGET, COST = 2.0, "3x"
TASKS, WORLDS, SEEDS = ("people", "labels", "science"), (1, 0), (0, 1, 2)
DRAWN, DRAWS = 40, 200
"""Whole runs of a random search, and how many such searches are drawn."""
GIVEN_OLD = "ground:general/memory"
"""What a recipe reads that is given old documents; `fit` lets the base write its own."""
FIXED = {
    "TRL": ("Train(lr=2e-5, epochs=3, batch=8)", {"lr_scheduler_type": "linear"}),
    "starter": ("Train(lr=2e-5, epochs=4, batch=16) + FreezeBottom(0.85) + LoRA(rank=8)", {}),
}
KINDS = ("fit", "fit at 80%", "fit before 24", "earlier fit", "auto", *FIXED)
"""What rows are. Fits before docs/decisions/0024, and at 80%, have other rules of what is inside the budget; earlier
ones came before docs/decisions/0020, the last two with a part of its rules."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A run of the study: its kind, and the task, world and seed."""

    kind: str
    task: str
    world: int
    seed: int

    @property
    def key(self) -> str:
        """Returns its name."""
        return f"{self.kind} {self.task} {self.world} {self.seed}"


def jobs() -> Iterator[Job]:
    """Yields the runs, the most telling ones first."""
    for seed in SEEDS:
        for kinds in (("fit",), ("auto", "TRL", "starter")):
            for world in WORLDS:
                for task in TASKS:
                    yield from (Job(kind, task, world, seed) for kind in kinds if seed == 0 or kind in ("fit", "auto"))


def given(job: Job, out: Path) -> dict[str, Any]:
    """Returns the options that all kinds share: model, data, and what is asked."""
    suites, files = study.asked(job.world, job.task, STUDY.watched), out / "asked" / f"{job.task}-world{job.world}"
    kept = [item for name, own in suites.items() if name not in ("task", "transfer") for item in own]
    return {
        "model": study.MODELS[job.world], "data": f"ground:{job.task}@{job.world}", "max_length": 128,
        "test": study.written(files / "test.jsonl", suites["task"]), "seed": job.seed, "batch_size": study.BATCH,
        "keep": (study.written(files / "keep.jsonl", kept),), "budget": {"points": BUDGET},
    }  # fmt: skip


def outcome_row(job: Any, came: Outcome) -> dict[str, Any]:
    """Returns what a run learned and lost on test items, and its verdict."""
    assert came.learned is not None
    assert came.verdict is not None
    (mean,), (gain,) = came.verdict.means, came.learned.units
    kept = [suite for suite in came.suites if suite.role == "retained" and suite.unit == "points"]
    worst = max(kept, key=lambda suite: suite.lost.points)
    return {
        "run": job.key, **dataclasses.asdict(job), "learned": gain.gain, "lost": -mean.change,
        "worst": [worst.name, worst.lost.points], "verdict": came.verdict.word,
    }  # fmt: skip


def made(job: Job, out: Path) -> dict[str, Any]:
    """Makes a run, and returns its row."""
    options = given(job, out)
    folder, quiet = out / job.key.replace(" ", "-"), Console(quiet=True)
    if job.kind == "fit":
        record = holdfast.fit(**options, cost=COST, out=str(folder))
        stages = {
            stage.name: [stage.done, stage.spent, round(stage.seconds), stage.sentence.replace(str(folder), "fit")]
            for stage in record.stages
        }
        more = {"recipe": record.recipe, "cost": record.cost.spent, "healed": record.healed, "stages": stages}
        return {**outcome_row(job, record), **more, "seconds": round(record.seconds)}
    recipe, training = FIXED.get(job.kind, ("auto", {}))
    spec = RunSpec(**options, recipe=recipe, training=training, held_out=0.0, out=str(folder), name=job.kind)
    if job.kind != "auto":
        spec = dataclasses.replace(spec, budget={"points": BUDGET, "on_spent": "log", "every": 10**6})
    came = train(spec, quiet, bases=out / "bases" / f"{job.task}-{job.world}")
    guard = came.record.guard
    more = {"recipe": came.spec.recipe, "cost": None, "rewinds": 0 if guard is None else guard.rewinds}
    return {**outcome_row(job, came.record), **more, "seconds": round(came.record.seconds.all)}


def run(minutes: float, only: str, out: Path) -> None:
    """Makes the runs that have no row, until the minutes are over."""
    began = time.monotonic()
    for job in jobs():
        rows = list(read_jsonl(ROWS)) if ROWS.exists() else []
        if any(row["run"] == job.key for row in rows) or only not in job.key:
            continue
        if time.monotonic() - began > 60 * minutes:
            return
        row = made(job, out)
        append_jsonl(ROWS, row)
        print(time.strftime("%H:%M:%S"), job.key, *(row[name] for name in ("learned", "lost", "verdict")), flush=True)


@dataclasses.dataclass(frozen=True)
class Whole:
    """A whole run of the effect study: points learned and lost on validation items, and on test items."""

    chosen_by: tuple[float, float]
    stated: tuple[float, float]


def read(scores: Sequence[Score], base: Sequence[Score], split: str) -> tuple[float, float]:
    """Returns the points learned and lost in the mean, on the items of a side."""
    moved = changes([s for s in base if s.split == split], [s for s in scores if s.split == split])
    task = next(suite for suite in moved if suite.role == "learned")
    return task.change, -mean_of([suite for suite in moved if suite.role == "retained"]).change


def wholes(world: int, task: str, old: bool) -> list[Whole]:
    """Returns the whole runs of the effect study with its first seed, with or without given old documents."""
    suites = study.asked(world, task, STUDY.watched)
    rows = [row for row in STUDY.rows(Path("docs/studies")) if (row["world"], row["task"]) == (world, task)]
    base = study.score_rows(next(row for row in rows if row["recipe"] == "base"), suites)
    found = []
    for row in rows:
        if row["recipe"] == "base" or row["seed"] != 0 or (not old and GIVEN_OLD in row["text"]):
            continue
        scores = study.score_rows(row, suites)
        found.append(Whole(read(scores, base, "watch"), read(scores, base, "proof")))
    return found


def best(tried: Sequence[Whole]) -> Whole:
    """Returns the run that learned most inside the budget on validation items, or else the one that lost least."""
    inside = [one for one in tried if one.chosen_by[1] <= BUDGET]
    return max(inside, key=lambda one: one.chosen_by[0]) if inside else min(tried, key=lambda one: one.chosen_by[1])


def searches(world: int, task: str, old: bool) -> dict[str, float]:
    """Returns what random searches choose: means of learned and lost, and the share inside the budget on test items."""
    runs, draw = wholes(world, task, old), random.Random(0)
    count = min(DRAWN, len(runs))
    chosen = [best(draw.sample(runs, count)) for _ in range(DRAWS)]
    learned, lost = zip(*(one.stated for one in chosen), strict=True)
    inside = statistics.fmean(value <= BUDGET for value in lost)
    return {"runs": count, "of": len(runs), "learned": statistics.fmean(learned), "lost": statistics.fmean(lost),
            "inside": inside}  # fmt: skip


def bound(kept: int, count: int) -> str:
    """Returns the one-sided 95% Clopper-Pearson bound of a share, in percent."""
    return f"{scipy.stats.binomtest(kept, count, alternative='greater').proportion_ci(0.95, 'exact').low:.0%}"


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the tables as Markdown."""
    places = list(dict.fromkeys((row["task"], row["world"]) for row in rows))
    found = {(place, old): searches(place[1], place[0], old) for place in places for old in (True, False)}
    lines, shares = ["# Fits beside random searches", "", "## Each run", ""], []
    cells = []
    for row in rows:
        random_ = found[(row["task"], row["world"]), False]
        share = row["learned"] / random_["learned"]
        shares.append((row["kind"], share))
        cost = "-" if row["cost"] is None else f"{row['cost']:.2f}"
        name, worst = row["worst"]
        cells.append([
            row["kind"], row["task"], row["world"], row["seed"], f"{row['learned']:.1f}", f"{share:.0%}",
            f"{row['lost']:.1f}", f"{name} {worst:.1f}", row["verdict"], cost, f"`{row['recipe']}`",
        ])  # fmt: skip
    head = "what | task | world | seed | learned | of random | lost | worst suite | verdict | plain runs | recipe"
    lines += grid(head, cells)
    lines += [
        "",
        "`of random`: the learning as a share of that of random searches without given old documents.",
        "",
    ]
    lines += ["## Random searches", ""]
    lines += grid(
        "task | world | old documents | runs | drawn of | learned | lost | inside the budget on test items",
        ([task, world, "given" if old else "none given", s["runs"], s["of"], f"{s['learned']:.1f}", f"{s['lost']:.1f}",
          f"{s['inside']:.0%}"] for ((task, world), old), s in found.items()),
    )  # fmt: skip
    lines += ["", f"Means of {DRAWS} searches of {DRAWN} whole runs, or of all where there are fewer.", ""]
    lines += ["## In all", ""]
    summary = []
    for kind in (name for name in KINDS if any(row["kind"] == name for row in rows)):
        own = [row for row in rows if row["kind"] == kind]
        inside, kept = sum(row["lost"] <= BUDGET for row in own), sum(row["verdict"] == "kept" for row in own)
        forgot = sum(row["verdict"] == "forgot" for row in own)
        costs = [row["cost"] for row in own if row["cost"] is not None]
        summary.append([
            kind, len(own), f"{statistics.fmean(row['learned'] for row in own):.1f}",
            f"{statistics.fmean(share for name, share in shares if name == kind):.0%}",
            f"{statistics.fmean(row['lost'] for row in own):.1f}",
            f"{inside} of {len(own)} ({bound(inside, len(own))} or more)", f"{kept} of {len(own)}", forgot,
            f"{statistics.fmean(costs):.2f}" if costs else "-",
        ])  # fmt: skip
    head = "what | runs | learned | of random | lost | lost 2 or less, test items | verdict kept | forgot | plain runs"
    lines += grid(head, summary)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Makes runs, or writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--only", default="", help="part of the names of the runs to make")
    parser.add_argument("--out", type=Path, default=Path("runs/fit"))
    options = parser.parse_args()
    if options.what == "run":
        run(options.minutes, options.only, options.out)
    else:
        text = tables(list(read_jsonl(ROWS)))
        write_atomically(TABLES, text)
        print(text)


if __name__ == "__main__":
    main()
