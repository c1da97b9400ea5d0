"""How well does a pilot on a tenth of the data predict the full run, and a price the time that a run takes?

The full runs are those of the effect study (docs/studies/effect.jsonl), of which this script repeats none: it makes the
pilot of each, on a tenth of the same rows with the same recipe, batch and epochs, and asks it the study's validation
items. The full run is read on test items. Prices are compared with the processor seconds of all full runs of the
study whose recipes a price covers.

    python benchmarks/pilot.py run [--tasks people] [--seconds 240]        (resumable; begins no pilot after so long)
    python benchmarks/pilot.py report                                      (rows to tables; needs no model)

docs/studies/pilot.jsonl      a row for each pilot, with what the full run learned and lost
             pilot-tables.md  the tables
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import scipy.stats
import study
from rich.console import Console

from holdfast.bench.fit.pilot import GATE, SHARE
from holdfast.bench.fit.price import PlainRun
from holdfast.bench.fit.trials import Candidate
from holdfast.bench.given.loading import load_tokenizer
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.files import read_jsonl, write_atomically, write_jsonl
from holdfast.bench.measured.preparation import prepare_data
from holdfast.bench.measured.scores import read_scores
from holdfast.bench.run.part import Part
from holdfast.bench.run.run import train
from holdfast.data.memory import load_memory
from holdfast.probes.changes import changes, mean_of
from holdfast.probes.score import Score
from holdfast.report.markdown import table_row, wrapped

BASE, LENGTH, ROWS = "ground:base", 128, 16
TASKS = ("people", "labels", "science", "language")
RECIPES = ("plain", "WSD", "LoRA", "Rehearsal", "LoRA, WSD, leash", "WSD, leash")
"""Recipes of the effect study, on the rungs of the ladder: without old examples, an adapter, old examples, and both."""
PRICED = (*RECIPES, "Rehearsal 1%", "WSD, distil", "distil", "MaskTheTarget")
OLD = study.OLD.format(world=0)
WATCHED = 30
"""Validation items of each suite; a fit keeps about as many by default (ground:suites/cut)."""


def full_runs(task: str, recipes: Sequence[str]) -> list[study.Row]:
    """Returns the rows of the effect study on a task, of its first world and seed."""
    rows = read_jsonl(Path("docs/studies/effect.jsonl"))
    return [r for r in rows if (r["world"], r["seed"], r["task"]) == (0, 0, task) and r["recipe"] in recipes]


def moved(before: Sequence[Score], after: Sequence[Score], side: str) -> tuple[float, float]:
    """Returns the points learned and lost on one side."""
    found = changes([s for s in before if s.split == side], [s for s in after if s.split == side])
    by_role = {role: [c for c in found if c.role == role] for role in ("learned", "retained")}
    return -mean_of(by_role["learned"]).lost, mean_of(by_role["retained"]).lost


def base_row(task: str) -> study.Row:
    """Returns the row with the base's answers to a task's items."""
    return next(r for r in full_runs(task, ("base",)))


def run(given: argparse.Namespace) -> None:
    """Makes the pilots that have no row, and writes their rows."""
    until, path = time.monotonic() + given.seconds, given.write / "pilot.jsonl"
    for task in given.tasks:
        suites = study.asked(0, task, study.WATCHED)
        folder = given.out / "asked" / task
        watched = [
            i
            for name in suites
            if name not in ("task", "transfer")
            for i in study.evenly(_watch(suites[name]), WATCHED)
        ]
        both = [*watched, *(i for name in suites if name not in ("task", "transfer") for i in _one_proof(suites[name]))]
        keep = study.written(folder / "kept.jsonl", both)
        test = study.written(folder / "task.jsonl", [*_watch(suites["task"])[:100], *_one_proof(suites["task"])])
        base = study.score_rows(base_row(task), suites)
        for full in full_runs(task, given.recipes):
            rows = list(read_jsonl(path)) if path.exists() else []
            key = (task, full["recipe"], full["dose"])
            if any((r["task"], r["recipe"], r["dose"]) == key for r in rows):
                continue
            if time.monotonic() > until:
                return
            spec = RunSpec(
                model=BASE,
                data=f"ground:{task}",
                test=test,
                keep=(keep,),
                max_length=LENGTH,
                batch_size=ROWS,
                recipe=full["text"],
                out=str(given.out / "runs"),
                name=f"{task}-{full['recipe'].replace(', ', '-').replace(' ', '')}-{full['dose']:g}",
                training={"save_strategy": "no"},
                resume=True,
            )
            done = train(spec, Console(quiet=True), bases=given.out / "base", part=Part(SHARE, 0, "watch"))
            scores = read_scores(done.folder / "scores.jsonl")
            learned, lost = moved(scores["before"], scores["after"], "watch")
            whole = moved(base, study.score_rows(full, suites), "proof")
            before = [c.before for c in changes(scores["before"], scores["before"]) if c.role == "retained"]
            row: dict[str, Any] = {"task": task, "recipe": full["recipe"], "dose": full["dose"], "text": full["text"]}
            row |= {"steps": done.record.steps, "full_steps": full["steps"], "kept": sum(before) / len(before)}
            row |= {"learned": learned, "lost": lost, "full_learned": whole[0], "full_lost": whole[1]}
            cost = done.record.cost
            row |= {"cpu": None if cost is None else round(cost.cpu_seconds, 1), "full_cpu": full["cpu"]}
            write_jsonl(path, [*rows, row])
            print(row, flush=True)


def _watch(items: Sequence[Any]) -> list[Any]:
    return [item for item in items if item.split == "watch"]


def _one_proof(items: Sequence[Any]) -> list[Any]:
    """Returns a test item, without which a suite has no validation side; no pilot is asked it."""
    return [item for item in items if item.split == "proof"][:1]


def rank_correlation(rows: Sequence[study.Row], name: str) -> str:
    """Returns Spearman's rank correlation of a pilot's number with the full run's, with its 95% interval by Fisher's z.

    The standard error is that of Bonett and Wright (2000), sqrt((1 + r^2 / 2) / (n - 3)).
    """
    r = float(scipy.stats.spearmanr([x[name] for x in rows], [x[f"full_{name}"] for x in rows]).statistic)
    if len(rows) < 5 or not math.isfinite(r):
        return f"{r:.2f}"
    z, error = math.atanh(min(r, 0.9999)), math.sqrt((1 + r * r / 2) / (len(rows) - 3))
    return f"{r:.2f} ({math.tanh(z - 1.96 * error):.2f} to {math.tanh(z + 1.96 * error):.2f})"


def prices() -> list[tuple[str, str, float, float]]:
    """Returns task, recipe, price, and processor seconds over those of plain training, of the full runs."""
    tokenizer, found = load_tokenizer(BASE), []
    memories = {OLD: load_memory(OLD, tokenizer, max_length=LENGTH)}
    for task in TASKS:
        rows = full_runs(task, PRICED)
        spec = RunSpec(model=BASE, data=f"ground:{task}", held_out=0.0, max_length=LENGTH)
        plain = PlainRun(prepare_data(spec, tokenizer).train, memories, study.EPOCHS, study.BATCH, study.BATCH)
        cpu = {name: [r["cpu"] for r in rows if r["recipe"] == name] for name in PRICED}
        of_plain = sum(cpu["plain"]) / len(cpu["plain"])
        for name in PRICED:
            texts = [r["text"] for r in rows if r["recipe"] == name]
            if texts:
                found.append((task, name, plain.price(Candidate.of(texts[0])), sum(cpu[name]) / len(texts) / of_plain))
    return found


def report(given: argparse.Namespace) -> None:
    """Writes the tables."""
    rows = list(read_jsonl(given.write / "pilot.jsonl"))
    head = ("task", "recipe", "rate", "learned: pilot", "full", "lost: pilot", "full", "time: pilot / full")
    body = [
        (
            *(r["task"], r["recipe"], f"{r['dose']:g}"),
            *(f"{r[name]:.1f}" for name in ("learned", "full_learned", "lost", "full_lost")),
            "" if r["cpu"] is None else f"{r['cpu'] / r['full_cpu']:.0%}",
        )
        for r in rows
    ]
    lines = [
        "# The pilot: tables",
        "",
        "Written by `python benchmarks/pilot.py report`; read it in [fit.md](../fit.md).",
        "",
    ]
    lines += [
        table_row(head),
        "|" + "---|" * len(head),
        *map(table_row, body),
        "",
        "Rank correlation with the full run:",
        "",
    ]
    groups = {task: [r for r in rows if r["task"] == task] for task in TASKS}
    lines += [table_row(("task", "runs", "learned (95%)", "lost (95%)")), "|---|---|---|---|"]
    for task, own in [*((t, g) for t, g in groups.items() if len(g) > 3), ("all", rows)]:
        lines.append(table_row((task, str(len(own)), rank_correlation(own, "learned"), rank_correlation(own, "lost"))))
    gate = [r for r in rows if r["lost"] < GATE * r["kept"]]
    held = sum(r["full_lost"] < GATE * r["kept"] for r in gate)
    closed = [r for r in rows if r not in gate]
    missed = sum(r["full_lost"] < GATE * r["kept"] for r in closed)
    lines += [
        "",
        *wrapped(
            f"The gate: of {len(gate)} pilots that lost less than {GATE:.0%} of the kept score, {held} full runs did"
            f" too; of {len(closed)} that lost more, {missed} full runs lost less.",
            "- ",
        ),
    ]
    lines += ["", "Price of a full run in plain runs, and its processor seconds over those of plain training:", ""]
    found = prices()
    lines += [table_row(("task", "recipe", "price", "measured", "price / measured")), "|---|---|---|---|---|"]
    lines += [table_row((t, n, f"{p:.2f}", f"{m:.2f}", f"{p / m:.2f}")) for t, n, p, m in found]
    ratios = [p / m for _, _, p, m in found]
    lines += [
        "",
        *wrapped(
            f"Price over measured: {min(ratios):.2f} to {max(ratios):.2f}, and"
            f" {math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f} in the geometric mean of {len(ratios)}.",
            "- ",
        ),
    ]
    write_atomically(given.write / "pilot-tables.md", "\n".join(lines) + "\n")


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--out", type=Path, default=Path("runs/pilot"), help="folder of the runs")
    parser.add_argument("--write", type=Path, default=Path("docs/studies"), help="folder of the rows and tables")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=1e9, help="no new pilot begins after so long")
    given = parser.parse_args()
    {"run": run, "report": report}[given.what](given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
