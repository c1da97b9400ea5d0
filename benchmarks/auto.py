"""Does the controller hold a budget, and does it learn as much as the best fixed setting? Runs on the proving ground.

    python benchmarks/auto.py run [--minutes 4] [--only grid]        (resumable: a run that has a row is not made again)
    python benchmarks/auto.py report                                                          (needs no model)

The task is `people/few` (40 invented people), with old documents; what is kept is `suites/cut`. Compared are:

    plain    the plan's rate of plain training, four times that of the recipe, without a guard that acts
    grid     the plan's recipe at each strength of the penalty and each rate of `STRENGTHS` x `RATES`, without one
    rewind   the plan's recipe, with a guard that goes back
    auto     the plan's recipe, steered, for each budget and seed
    fast     a recipe at four times the plan's rate, which overspends: rewound, and steered

The best fixed setting is chosen as a user could: by the last look at the validation items, the one that learned most of
those inside the budget. What is stated is measured on test items.

docs/studies/auto.jsonl        a row for each run
docs/studies/auto-tables.md    the tables
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import scipy.stats
from rich.console import Console

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.files import read_jsonl, write_atomically, write_jsonl
from holdfast.bench.run.record import RunRecord
from holdfast.bench.run.run import train

ROWS, TABLES = Path("docs/studies/auto.jsonl"), Path("docs/studies/auto-tables.md")
STRENGTHS, RATES = (1.0, 4.0, 16.0), (1.0, 2.0, 4.0)
"""Multiples of the plan's strength (1) and rate that the grid tries."""
RATE, EVERY = 2.5e-4, 25
BUDGETS, SEEDS = (2.0, 4.0), (0, 1, 2)
NEVER = 10**6
"""Steps between the looks of a guard that looks once, at the end."""
OLD = "ground:general/memory"


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of the study.

    Attributes:
        kind: Which comparison it belongs to.
        recipe: Its recipe.
        budget: Points that may be lost.
        on_spent: What its guard does.
        seed: Its seed.
        strength: Multiple of the plan's strength; 0 without a penalty.
        rate: Multiple of the plan's rate.
    """

    kind: str
    recipe: str
    budget: float
    on_spent: str
    seed: int = 0
    strength: float = 1.0
    rate: float = 1.0

    @property
    def key(self) -> str:
        """Returns its name."""
        return f"{self.kind} strength {self.strength:g} rate {self.rate:g} budget {self.budget:g} seed {self.seed}"


def held(strength: float = 1.0, rate: float = 1.0) -> str:
    """Returns the plan's recipe with multiples of its strength and rate."""
    train_ = f"Train(lr={RATE * rate:g}, epochs=3, batch=16)"
    return f"{train_} + WSD() + BaseKL(strength={strength:g}, on='memory') + Rehearsal('old', ratio=0.5)"


def runs() -> Iterator[Run]:
    """Yields the runs of the study, the most telling ones first."""
    grid = [
        (1.0, 1.0),
        (4.0, 2.0),
        (16.0, 4.0),
        (4.0, 4.0),
        (1.0, 2.0),
        (16.0, 2.0),
        (4.0, 1.0),
        (16.0, 1.0),
        (1.0, 4.0),
    ]
    assert sorted(grid) == sorted(itertools.product(STRENGTHS, RATES))
    fixed = [Run("grid", held(strength, rate), 2.0, "log", 0, strength, rate) for strength, rate in grid]
    steered = [Run("auto", held(), budget, "steer", seed) for seed, budget in itertools.product(SEEDS, BUDGETS)]
    yield from (steered[0], fixed[0], steered[1], fixed[1], fixed[2])
    yield Run("plain", f"Train(lr={4 * RATE:g}, epochs=3, batch=16) + Cosine()", 2.0, "log", strength=0.0, rate=4.0)
    yield from fixed[3:]
    for kind, on_spent in (("fast steer", "steer"), ("fast rewind", "rewind")):
        yield Run(kind, held(rate=4.0), 2.0, on_spent, rate=4.0)
    yield from steered[2:]
    yield Run("rewind", held(), 2.0, "rewind")


def spec_of(run: Run, out: Path) -> RunSpec:
    """Returns the options of a run."""
    return RunSpec(
        model="ground:base",
        data="ground:people/few",
        test="ground:people/few-test",
        keep=("ground:suites/cut",),
        memory=(f"old={OLD}",),
        recipe=run.recipe,
        budget={"points": run.budget, "on_spent": run.on_spent, "every": EVERY if run.on_spent != "log" else NEVER},
        seed=run.seed,
        out=str(out),
        name=run.key.replace(" ", "-"),
        batch_size=16,
    )


def row_of(run: Run, record: RunRecord) -> dict[str, Any]:
    """Returns the row of a finished run."""
    kept = [suite for suite in record.suites if suite.role == "retained"]
    task = next(suite for suite in record.suites if suite.role == "learned")
    guard = record.guard
    assert guard is not None
    last = next((look for look in guard.looks if look.step == guard.model_of), guard.looks[-1])
    return {
        "run": run.key,
        **dataclasses.asdict(run),
        "learned": task.after,
        "lost": statistics.fmean(suite.lost.value for suite in kept),
        "watched_learned": last.learned,
        "watched_lost": last.points_lost,
        "verdict": None if record.verdict is None else record.verdict.word,
        "rewinds": guard.rewinds,
        "steps": record.steps,
        "seconds": record.seconds.training,
        "looks": [[look.step, look.points_lost, look.learned] for look in guard.looks],
        "course": [row.to_dict() for row in guard.course],
    }


def run_all(minutes: float, only: str | None, out: Path) -> None:
    """Makes the runs that have no row, until the minutes are over."""
    began, rows = time.monotonic(), list(read_jsonl(ROWS)) if ROWS.exists() else []
    for run in runs():
        if any(row["run"] == run.key for row in rows) or (only and run.kind != only):
            continue
        if time.monotonic() - began > 60 * minutes:
            return
        done = train(spec_of(run, out), Console(quiet=True), bases=out / "bases")
        rows.append(row_of(run, done.record))
        write_jsonl(ROWS, rows)
        print(run.key, *(rows[-1][name] for name in ("learned", "lost", "watched_learned", "watched_lost", "seconds")))


def tables(rows: list[dict[str, Any]]) -> str:
    """Returns the tables of the study as Markdown."""
    lines = ["| run | strength | rate | budget | seed | learned | lost | validation: lost | verdict | rewinds |"]
    lines += ["|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        about = f"{row['kind']} | {row['strength']:g} | {row['rate']:g} | {row['budget']:g} | {row['seed']}"
        measured = f"{row['learned']:.1f} | {row['lost']:.1f} | {row['watched_lost']:.1f}"
        lines.append(f"| {about} | {measured} | {row['verdict']} | {row['rewinds']} |")
    steered = [row for row in rows if row["kind"] == "auto"]
    if not any(row["kind"] == "grid" for row in rows):
        lines += ["", "No run with fixed settings is done yet."]
        return "\n".join(lines) + "\n"
    lines += ["", "| budget | auto: learned | lost | best fixed: learned | lost | its strength, rate |"]
    lines += ["|---|---|---|---|---|---|"]
    for budget in BUDGETS:
        ours = [row for row in steered if row["budget"] == budget]
        fixed = [row for row in rows if row["kind"] == "grid" and row["watched_lost"] <= budget]
        if not ours or not fixed:
            continue
        best = max(fixed, key=lambda row: row["watched_learned"])
        mean = [statistics.fmean(row[name] for row in ours) for name in ("learned", "lost")]
        lines.append(
            f"| {budget:g} | {mean[0]:.1f} ({len(ours)} seeds) | {mean[1]:.1f} | {best['learned']:.1f} |"
            f" {best['lost']:.1f} | {best['strength']:g}, {best['rate']:g} |"
        )
    kept = sum(row["lost"] <= row["budget"] for row in steered)
    if steered:
        low = scipy.stats.binomtest(kept, len(steered), alternative="greater").proportion_ci(0.95, "exact").low
        lines += [
            "",
            f"Kept by the estimate on test items: {kept} of {len(steered)} steered runs (95% bound {low:.0%}).",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--only")
    parser.add_argument("--out", type=Path, default=Path("runs/auto"))
    given = parser.parse_args()
    if given.command == "run":
        run_all(given.minutes, given.only, given.out)
    else:
        text = tables(list(read_jsonl(ROWS)))
        write_atomically(TABLES, text)
        print(text)


if __name__ == "__main__":
    main()
