"""How often is the score drift of rerankers found, and how often raised in vain, on runs that its threshold never saw?

    python benchmarks/rerank_drift.py run        (resumable: a run with a row is kept)
    python benchmarks/rerank_drift.py report     (needs no model)

The threshold (75) was raised on the runs of benchmarks/rerank_symptoms.py, so those do not judge it. These do: their
settings and seeds were fixed before the first of them ran, and none was changed or left out after.

risen      pointwise training (binary cross-entropy) on relevant documents alone, as from a log of clicks: nothing
           holds the level of the scores, and they rise
fallen     the same loss with 19 other documents for each relevant one, where the base saw 5: they fall
healthy    more queries of a domain that the base knows, in other worlds, at a low rate, with each loss: nothing is
           taught that moves the level

Each run is compared with the base on 80 validation queries of each of the five domains that the base knows; the runs
of the first study were compared on test queries. `kept` says what the drift does to a user who shows documents from a
score on: the base's score with the best F1 is that limit, and `kept` is how many documents pass it after the training,
as a share of those before.

docs/studies/rerank-drift.jsonl        a row for each run
docs/studies/rerank-drift-tables.md    the tables
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from scipy.stats import binomtest

from holdfast.bench.given.model_files import reranker_or_name
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.files import read_jsonl, write_atomically, write_jsonl
from holdfast.bench.measured.ranking import rank, read_suites
from holdfast.bench.run.run import train
from holdfast.rerank.loading import load_reranker
from holdfast.rerank.sources import read_collection
from holdfast.rerank.suite import Ranked, RerankSuite
from holdfast.rerank.symptoms.evidence import evidence_of
from holdfast.rerank.symptoms.names import TESTS, symptoms_of

ROWS, TABLES = Path("docs/studies/rerank-drift.jsonl"), Path("docs/studies/rerank-drift-tables.md")
DOMAINS = ("people", "towns", "events", "shop", "land")
BASE = "ground:reranker"


@dataclasses.dataclass(frozen=True)
class Made:
    """A run: its name, its kind, its seed, what it trains on, and further options."""

    name: str
    kind: str
    seed: int
    data: str
    recipe: str
    options: dict[str, Any]


def _risen(number: int, data: str, lr: float, passes: int = 1) -> Made:
    recipe = f"Train(lr={lr:g}, epochs={passes}, batch=16)"
    return Made(f"risen {number}", "risen", 100 + number, data, recipe, {"loss": "bce", "easy": 0})


def _fallen(number: int, data: str, lr: float) -> Made:
    options = {"loss": "bce", "negatives": 10, "easy": 9}
    return Made(f"fallen {number}", "fallen", 200 + number, data, f"Train(lr={lr:g}, epochs=1, batch=16)", options)


def _healthy(number: int, data: str, lr: float, loss: str, passes: int = 1, more: str = "") -> Made:
    recipe = f"Train(lr={lr:g}, epochs={passes}, batch=16){more}"
    return Made(f"healthy {number}", "healthy", 300 + number, data, recipe, {"loss": loss})


RUNS = (
    _risen(1, "contracts/train:400", 2e-4),
    _healthy(1, "people/train@21:500", 1e-4, "listnet"),
    _fallen(1, "contracts/train:200", 5e-4),
    _healthy(2, "towns/train@22:500", 5e-5, "bce", 2),
    _risen(2, "contracts/train:800", 5e-4),
    _healthy(3, "events/train@23:500", 1e-4, "ranknet"),
    _fallen(2, "contracts/train:300", 1e-3),
    _healthy(4, "shop/train@24:800", 1e-4, "listnet"),
    _risen(3, "people/train@31:400", 3e-4),
    _healthy(5, "land/train@25:500", 2e-4, "listnet"),
    _fallen(3, "people/train@34:200", 5e-4),
    _healthy(6, "people/train@26:500", 1e-4, "lambda"),
    _risen(4, "shop/train@32:600", 1e-3),
    _healthy(7, "towns/train@27:400", 1e-4, "listnet", 1, " + BaseKL()"),
    _fallen(4, "shop/train@35:300", 1e-3),
    _healthy(8, "events/train@28:800", 5e-5, "listnet", 2),
    _risen(5, "contracts/train:600", 1e-3, 2),
    _healthy(9, "shop/train@29:500", 1e-4, "bce"),
    _risen(6, "land/train@33:400", 5e-4),
    _healthy(10, "land/train@30:500", 1e-4, "listmle"),
)
"""The runs, fixed before the first of them."""


def run(console: Console) -> None:
    """Makes the runs that have no row yet, and adds a row after each."""
    named = [("retained", f"ground:rerank/{domain}/watch:80") for domain in DOMAINS]
    suites, before = read_suites(named, 100, []), None
    for made in RUNS:
        rows = read_jsonl(ROWS) if ROWS.exists() else []
        if any(row["name"] == made.name for row in rows):
            continue
        before = before or _ranked(BASE, suites, console)
        with tempfile.TemporaryDirectory() as out:
            data = f"ground:rerank/{made.data}"
            spec = RunSpec(
                model=BASE,
                keep=("ground:rerank/people/cut:5",),  # a run measures something; what counts is ranked below
                data=_relevant_alone(data, Path(out)) if made.kind == "risen" else data,
                recipe=made.recipe,
                held_out=0.0,
                seed=made.seed,
                out=out,
                max_length=128,
                batch_size=16,
                training={"save_strategy": "no"},
                **made.options,
            )
            done = train(spec, console)
            after = _ranked(str(done.folder / "model"), suites, console)
        row = _row(made, done.record.steps, suites, before, after)
        write_jsonl(ROWS, [*rows, row])
        console.print(json.dumps(row), soft_wrap=True, highlight=False, markup=False)


def _relevant_alone(source: str, folder: Path) -> str:
    """Writes the relevant documents of a source as pairs, and returns the file."""
    lists = read_collection(source, []).lists(0)
    rows = [
        {"query": entry.query, "document": text, "label": 1.0, "group": entry.group}
        for entry in lists
        for text, grade in zip(entry.documents, entry.labels, strict=True)
        if grade > 0
    ]
    write_jsonl(folder / "relevant.jsonl", rows)
    return str(folder / "relevant.jsonl")


def _ranked(model: str, suites: Sequence[RerankSuite], console: Console) -> list[Ranked]:
    console.print(f"ranking with {Path(model).name}", markup=False)
    return rank(
        load_reranker(reranker_or_name(model), max_length=128),
        suites,
        "watch",
        lambda name, size: lambda done, of: None,
    )


def _row(
    made: Made, steps: int, suites: Sequence[RerankSuite], before: Sequence[Ranked], after: Sequence[Ranked]
) -> dict[str, Any]:
    found = symptoms_of(evidence_of(suites, before, after))
    scores = [np.array([ranked.mean() for ranked in side]) for side in (_values(before), _values(after))]
    return {
        **{key: value for key, value in dataclasses.asdict(made).items() if key != "options"},
        **made.options,
        "steps": steps,
        "change": round(float(scores[1].mean() - scores[0].mean()), 2),
        "kept": round(_kept(suites, before, after), 3),
        "symptoms": {
            one.name: [bool(one.present), None if one.effect is None else round(one.effect, 2)] for one in found
        },
    }


def _values(side: Sequence[Ranked]) -> list[np.ndarray]:
    return [np.array([score.value for score in ranked.scores]) for ranked in side]


def _kept(suites: Sequence[RerankSuite], before: Sequence[Ranked], after: Sequence[Ranked]) -> float:
    """Returns the documents at or above the base's limit of best F1 after the training, as a share of those before."""
    pairs = [
        (was.raw[query][document], now.raw[query][document], suite.collection.judgments[query].get(document, 0) > 0)
        for suite, was, now in zip(suites, before, after, strict=True)
        for query in suite.collection.judged
        for document in was.raw[query]
    ]
    first, last, right = (np.array(column) for column in zip(*pairs, strict=True))
    order = np.argsort(-first)
    hits = np.cumsum(right[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + right.sum())
    limit = first[order][int(f1.argmax())]
    return float((last >= limit).sum() / (first >= limit).sum())


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the tables in Markdown: how often each symptom is raised on each kind of run, and every run."""
    kinds = {kind: [row for row in rows if row["kind"] == kind] for kind in ("risen", "fallen", "healthy")}
    lines = [
        "# Score drift of rerankers, on new runs",
        "",
        "Made by `python benchmarks/rerank_drift.py report`.",
        "",
        "How many runs raise each symptom, with the 95% interval of the rate (exact), and the lowest and the highest",
        "effect. Only score drift was built into the runs with risen and fallen scores; what else they raise is not",
        "judged here.",
        "",
        "| symptom | threshold | risen or fallen | effects | healthy | effects |",
        "|---|---|---|---|---|---|",
    ]
    for test in TESTS:
        groups = ([*kinds["risen"], *kinds["fallen"]], kinds["healthy"])
        lines.append(
            f"| {test.name} | {test.threshold:g} | {' | '.join(_cell(test.name, group) for group in groups)} |"
        )
    lines += [
        "",
        "| run | trains on | recipe | loss | steps | change of nDCG@10 | kept | score drift | symptoms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in [row for group in kinds.values() for row in group]:
        there = ", ".join(name for name, (present, _) in row["symptoms"].items() if present)
        lines.append(
            f"| {row['name']} | {row['data']} | `{row['recipe']}` | {row['loss']} | {row['steps']} |"
            f" {row['change']:+.1f} | {row['kept']:.2f} | {row['symptoms']['score drift'][1]:.1f} | {there} |"
        )
    return "\n".join(lines) + "\n"


def _cell(name: str, rows: Sequence[dict[str, Any]]) -> str:
    raised = sum(row["symptoms"][name][0] for row in rows)
    effects = sorted(effect for row in rows if (effect := row["symptoms"][name][1]) is not None)
    rate = binomtest(raised, len(rows)).proportion_ci()
    return f"{raised} of {len(rows)} [{rate.low:.0%}, {rate.high:.0%}] | {effects[0]:.1f} to {effects[-1]:.1f}"


def main() -> None:
    """Makes the runs, or writes their tables."""
    told = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    told.add_argument("does", choices=("run", "report"))
    if told.parse_args().does == "run":
        run(Console())
    else:
        write_atomically(TABLES, tables(read_jsonl(ROWS)))


if __name__ == "__main__":
    main()
