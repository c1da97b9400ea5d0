"""Would a pilot help the fit of a reranker? What a tenth of the queries says, beside whole runs on the embedded base.

    python benchmarks/rerank_pilot.py run        (resumable: a trial with a row is kept)
    python benchmarks/rerank_pilot.py report     (needs no model)

The trials are those that a fit could make before its whole run, at the plan's rate, with the recipes of its ladder:

pilot      a tenth of the queries (120 of 1,200), for all passes: what the pilot of a language model does
short      all queries, for a ninth of the steps: what the search of a fit tries first

Both rank 40 validation queries of contracts and of each of the five domains, and the gate is that of the pilot of
language models (`holdfast.bench.fit.pilot.judged`), with a budget of 1 point. The whole runs, on test queries, are
those of benchmarks/rerank.py.

docs/studies/rerank-pilot.jsonl        a row for each trial
docs/studies/rerank-pilot-tables.md    the tables
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from scipy.stats import spearmanr

from holdfast.bench.fit.pilot import judged, training_losses
from holdfast.bench.fit.pilot_record import PilotRung
from holdfast.bench.fit.trials import lost_of
from holdfast.bench.machine.files import read_jsonl, write_atomically, write_jsonl
from holdfast.bench.measured.scores import read_scores
from holdfast.bench.run.run import train
from holdfast.core.budget import Budget
from rerank import CACHE, DOMAINS, ground

ROWS, TABLES = Path("docs/studies/rerank-pilot.jsonl"), Path("docs/studies/rerank-pilot-tables.md")
WHOLE = Path("docs/studies/rerank.jsonl")
OLD = ", ".join(DOMAINS)
RECIPES = {"plain": "", "kl": " + BaseKL()", "sum": f" + BaseKL() + Rehearsal({OLD!r}, ratio=0.2)"}
"""What a plan may advise for this base, and plain training, by the names that the whole runs have."""
TRIALS = {"pilot": ("ground:rerank/contracts/train:120", 3.0), "short": ("ground:rerank/contracts/train", 1 / 3)}
"""Queries and passes of each kind of trial."""
BUDGET = Budget(points=1)


def run(seeds: Sequence[int], console: Console) -> None:
    """Makes the trials that have no row yet, and adds a row after each."""
    for seed in seeds:
        for kind, (data, epochs) in TRIALS.items():
            for name, more in RECIPES.items():
                rows = read_jsonl(ROWS) if ROWS.exists() else []
                if any((row["kind"], row["name"], row["seed"]) == (kind, name, seed) for row in rows):
                    continue
                recipe = f"Train(lr=5e-4, epochs={epochs:.4g}, batch=16) + Cosine(){more}"
                with tempfile.TemporaryDirectory() as out:
                    row = {"kind": kind, "name": name, "seed": seed, **_tried(data, recipe, seed, out, console)}
                write_jsonl(ROWS, [*rows, row])
                console.print(json.dumps(row), soft_wrap=True, highlight=False, markup=False)


def _tried(data: str, recipe: str, seed: int, out: str, console: Console) -> dict[str, Any]:
    """Makes a trial, and returns what it shows and what the gate decides."""
    watched = tuple(f"ground:rerank/{domain}/watch:40" for domain in DOMAINS)
    asked = {"data": data, "test": "ground:rerank/contracts/watch:40", "keep": watched}
    done = train(dataclasses.replace(ground(recipe, seed, out), **asked), console, bases=CACHE)
    scores, learned = read_scores(done.folder / "scores.jsonl"), done.record.learned.units[0]
    lost, unit = lost_of(scores["before"], scores["after"], BUDGET)
    first, last = training_losses(done.folder)
    rung = judged(
        PilotRung(
            name=recipe,
            recipe=recipe,
            plain="Base" not in recipe,
            learned=learned.gain,
            learned_low=learned.low,
            lost=lost,
            lost_unit=unit,
            limit=BUDGET.limits[unit],
            kept_before=statistics.fmean(row.before for row in done.record.suites if row.role == "retained"),
            loss_before=first,
            loss_after=last,
            why="",
            cost=0.0,
        )
    )
    assert rung.lost is not None
    return {
        "recipe": recipe,
        "steps": done.record.steps,
        "learned": round(learned.gain, 2),
        "learned_low": round(learned.low, 2),
        "lost": round(rung.lost, 2),
        "loss_before": first,
        "loss_after": last,
        "on_course": rung.on_course,
        "opens": rung.opens,
        "why": rung.why,
        "cpu_seconds": None if done.record.cost is None else round(done.record.cost.cpu_seconds, 1),
    }


def whole_runs() -> dict[tuple[str, int], tuple[float, float]]:
    """Returns what each whole run learned and lost on test queries, by its recipe and seed."""
    found = {}
    for row in read_jsonl(WHOLE):
        if row["base"] == "ground" and row.get("seed") is not None:
            suites = row["suites"].values()
            learned, lost = (
                statistics.fmean(sign * suite["change"] for suite in suites if suite["role"] == role)
                for role, sign in (("learned", 1), ("retained", -1))
            )
            found[row["name"], row["seed"]] = (learned, lost)
    return found


def tables(rows: Sequence[dict[str, Any]], whole: Mapping[tuple[str, int], tuple[float, float]]) -> str:
    """Returns the tables in Markdown: each trial beside its whole run, and how well each kind tells what comes."""
    lines = [
        "# Would a pilot help the fit of a reranker?",
        "",
        "Made by `python benchmarks/rerank_pilot.py report`.",
        "",
        "Trials on the embedded base and the whole run of the same recipe and seed, in points of nDCG@10: validation",
        "queries of trials, test queries of whole runs. The gate has a budget of 1 point.",
        "",
        "| trial | recipe | seed | steps | learned | lost | gate | whole run: learned | lost | inside | CPU s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        learned, lost = whole[row["name"], row["seed"]]
        gate = "open" if row["opens"] else f"shut: {row['why']}"
        lines.append(
            f"| {row['kind']} | {row['name']} | {row['seed']} | {row['steps']} | {row['learned']:+.1f} |"
            f" {row['lost']:.1f} | {gate} | {learned:+.1f} | {lost:.1f} | {'yes' if lost <= 1 else 'no'} |"
            f" {row['cpu_seconds']:.0f} |"
        )
    lines += [
        "",
        "Rank correlation (Spearman) of each kind of trial with its whole runs, over all recipes and seeds, and how",
        "many trials the gate decides as the whole run does (open, and at most 1 point lost, or neither).",
        "",
        "| trial | trials | of what is lost | of what is learned | decided as the whole run |",
        "|---|---|---|---|---|",
    ]
    for kind in TRIALS:
        mine = [row for row in rows if row["kind"] == kind]
        if len(mine) < 3:
            continue
        pairs = [(row, whole[row["name"], row["seed"]]) for row in mine]
        lost = spearmanr([row["lost"] for row, _ in pairs], [of[1] for _, of in pairs]).statistic
        learned = spearmanr([row["learned"] for row, _ in pairs], [of[0] for _, of in pairs]).statistic
        right = sum(row["opens"] == (of[1] <= 1) for row, of in pairs)
        lines.append(f"| {kind} | {len(mine)} | {lost:.2f} | {learned:.2f} | {right} of {len(mine)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Makes the trials, or writes the tables."""
    told = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    told.add_argument("does", choices=("run", "report"))
    told.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = told.parse_args()
    if given.does == "run":
        run(given.seeds, Console())
    else:
        write_atomically(TABLES, tables(read_jsonl(ROWS), whole_runs()))


if __name__ == "__main__":
    main()
