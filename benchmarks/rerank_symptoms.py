"""Which symptoms do fine-tunes of the embedded reranker show, and do healthy ones raise any?

    python benchmarks/rerank_symptoms.py run        (resumable: a run with a row is kept)
    python benchmarks/rerank_symptoms.py report     (needs no model)

hard       plain training on contracts, at three rates, with two losses, and without easy negatives
held       training on contracts with a penalty to the base
more       training on more queries of a domain that the base knows, in another world, at a low rate: nothing is taught

Each run has 600 queries and one pass. All are compared with the base on 80 test queries of each of the five domains
that the base knows.

docs/studies/rerank-symptoms.jsonl        a row for each run
docs/studies/rerank-symptoms-tables.md    the tables
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.files import read_jsonl, write_atomically, write_jsonl
from holdfast.bench.run.run import train
from holdfast.rerank.symptoms.names import TESTS, RankingTest

ROWS, TABLES = Path("docs/studies/rerank-symptoms.jsonl"), Path("docs/studies/rerank-symptoms-tables.md")
DOMAINS = ("people", "towns", "events", "shop", "land")
LISTS = 600
"""Queries of a run."""


def _contracts(recipe: str, **options: Any) -> dict[str, Any]:
    return {"data": f"ground:rerank/contracts/train:{LISTS}", "recipe": recipe, **options}


def _more(domain: str) -> dict[str, Any]:
    return {"data": f"ground:rerank/{domain}/train@7:{LISTS}", "recipe": "Train(lr=1e-4, epochs=1, batch=16)"}


RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain 5e-4": ("hard", _contracts("Train(lr=5e-4, epochs=1, batch=16)")),
    "kl 5e-4": ("held", _contracts("Train(lr=5e-4, epochs=1, batch=16) + BaseKL()")),
    "more people": ("more", _more("people")),
    "plain 1e-3": ("hard", _contracts("Train(lr=1e-3, epochs=1, batch=16)")),
    "more towns": ("more", _more("towns")),
    "bce 1e-3": ("hard", _contracts("Train(lr=1e-3, epochs=1, batch=16)", loss="bce")),
    "kl 1e-3": ("held", _contracts("Train(lr=1e-3, epochs=1, batch=16) + BaseKL()")),
    "more events": ("more", _more("events")),
    "no easy 1e-3": ("hard", _contracts("Train(lr=1e-3, epochs=1, batch=16)", easy=0)),
    "plain 2e-3": ("hard", _contracts("Train(lr=2e-3, epochs=1, batch=16)")),
    "mse 5e-4": ("held", _contracts("Train(lr=5e-4, epochs=1, batch=16) + BaseMSE()")),
    "more shop": ("more", _more("shop")),
    "more land": ("more", _more("land")),
}
"""The runs: their kind, and their options."""


def run(seeds: Sequence[int], console: Console) -> None:
    """Makes the runs that have no row yet, and adds a row after each."""
    cache = Path.home() / ".cache" / "holdfast-models" / "rerank-study" / "bases"
    for seed in seeds:
        for name, (kind, options) in RUNS.items():
            rows = read_jsonl(ROWS) if ROWS.exists() else []
            if any((row["name"], row["seed"]) == (name, seed) for row in rows):
                continue
            with tempfile.TemporaryDirectory() as out:
                spec = RunSpec(
                    model="ground:reranker",
                    keep=tuple(f"ground:rerank/{domain}/cut" for domain in DOMAINS),
                    held_out=0.0,
                    seed=seed,
                    out=out,
                    max_length=128,
                    batch_size=16,
                    training={"save_strategy": "no"},
                    **options,
                )
                record = train(spec, console, bases=cache).record
            row = {
                "name": name,
                "kind": kind,
                "seed": seed,
                "change": round(statistics.fmean(suite.change for suite in record.suites), 2),
                "symptoms": {
                    found.name: [bool(found.present), None if found.effect is None else round(found.effect, 2)]
                    for found in record.symptoms
                },
            }
            write_jsonl(ROWS, [*rows, row])
            console.print(json.dumps(row), soft_wrap=True, highlight=False, markup=False)


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the tables in Markdown: how many runs raise each symptom, and every run."""
    kinds = {
        "hard": [row for row in rows if row["kind"] == "hard"],
        "held": [row for row in rows if row["kind"] == "held"],
        "more": [row for row in rows if row["kind"] == "more"],
    }
    named = ", ".join(f"{len(of)} {kind}" for kind, of in kinds.items())
    lines = [
        "# Symptoms of rerankers",
        "",
        "Made by `python benchmarks/rerank_symptoms.py report`.",
        "",
        f"{len(rows)} runs ({named}): how many raise each symptom, and the lowest and the highest effect, in points.",
        "",
        "| symptom | threshold | hard | effects | held | effects | more | effects |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for test in TESTS:
        cells = []
        for group in kinds.values():
            effects = sorted(effect for row in group if (effect := row["symptoms"][test.name][1]) is not None)
            raised = sum(_is_raised(row, test) for row in group)
            cells.append(f"{raised} of {len(group)} | {effects[0]:.1f} to {effects[-1]:.1f}")
        lines.append(f"| {test.name} | {test.threshold:g} | {' | '.join(cells)} |")
    lines += ["", "| run | kind | seed | mean change | symptoms |", "|---|---|---|---|---|"]
    for row in rows:
        there = ", ".join(test.name for test in TESTS if _is_raised(row, test))
        lines.append(f"| {row['name']} | {row['kind']} | {row['seed']} | {row['change']:+.1f} | {there} |")
    return "\n".join(lines) + "\n"


def _is_raised(row: dict[str, Any], test: RankingTest) -> bool:
    """Returns whether a run raises a symptom at the threshold of today, which is no lower than that of its row."""
    present, effect = row["symptoms"][test.name]
    return effect is not None and effect >= test.threshold and present


def main() -> None:
    """Makes the runs, or writes their tables."""
    told = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    told.add_argument("does", choices=("run", "report"))
    told.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = told.parse_args()
    if given.does == "run":
        run(given.seeds, Console())
    else:
        write_atomically(TABLES, tables(read_jsonl(ROWS)))


if __name__ == "__main__":
    main()
