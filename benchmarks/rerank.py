"""What do rerankers lose outside the domain that they learn, and which recipes hold it? On two bases.

    python benchmarks/rerank.py run ground [--seeds 0 1 2] [--only plain kl]     (resumable: a run with a row is kept)
    python benchmarks/rerank.py run real [--seeds 0]
    python benchmarks/rerank.py run hard [--seeds 0]        (the real base at four times the rate)
    python benchmarks/rerank.py seeds      (intervals over the seeds, from the scores of the runs that are here)
    python benchmarks/rerank.py report                                           (needs no model)

ground    the reranker that comes with the package learns to rank clauses of contracts. Kept are its five domains, each
          with the 300 test queries of the split `proof` and 20 candidates a query; learned is `contracts/proof`. Old
          lists come from the five domains, in other worlds than those that are measured.
real      the cross-encoder of benchmarks/rerank_base.py (MiniLM, 22 M parameters) learns CUAD: 300 queries of
          7 in 10 contracts to train on, and 40 queries of the other contracts to test. Kept are squad_dev, xquad_en,
          boolq_val, scifact_subset and medquad; contractnli is the transfer. Each has 40 queries, chosen by the hash of
          their ids, with the 10 best candidates of BM25 (of the own contract, where there is one). Pairs are cut to 128
          tokens. Old lists come from squad_train. Set HOLDFAST_SUITES to the folder with `rerank/`.
hard      as `real`, at four times the rate: what a reranker that is trained hard on one domain loses.

Training lists have the relevant documents, three hard negatives of the first stage and a random document. The loss is
ListNet's with certain labels (`--loss listnet`). Figures are nDCG@10 in points, on queries that steered nothing.

`healed` is plain training that `holdfast heal` brings inside a budget of a point, by the validation queries of the
same domains; on the real base it has `HEALED_QUERIES` queries of each, of which about a third are for validation.

docs/studies/rerank.jsonl        a row for each run, and a row with intervals for each recipe (`seeds`)
docs/studies/rerank-tables.md    the tables
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from holdfast.bench.given.heal_spec import HealSpec
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.heal.heal import heal
from holdfast.bench.machine.files import read_jsonl, write_atomically, write_jsonl
from holdfast.bench.measured.outcome import SuiteRow
from holdfast.bench.measured.ranking_record import RankingRow
from holdfast.bench.measured.scores import read_scores
from holdfast.bench.run.run import RunResult, train
from holdfast.probes.changes import mean_of, over_seeds
from holdfast.report.markdown import wrapped
from holdfast.stats.draws import Draws, Suite

ROWS, TABLES = Path("docs/studies/rerank.jsonl"), Path("docs/studies/rerank-tables.md")
STUDY = Path(os.environ.get("HOLDFAST_MODELS", Path.home() / ".cache" / "holdfast-models")) / "rerank-study"
"""Folder of what the runs share: scores and lists. The real base lies beside it."""
CACHE = STUDY / "bases"
"""Scores of the bases."""
DOMAINS = ("people", "towns", "events", "shop", "land")
HELD = ("squad_dev", "xquad_en", "boolq_val", "scifact_subset", "medquad")
QUERIES, DEPTH, LISTS, OLD_LISTS = 40, 10, 300, 300
HEALED_QUERIES = 90
"""Queries of each domain of a healing of the real base, of both sides."""

RECIPES = {
    "plain": "{train}",
    "kl": "{train} + BaseKL()",
    "rehearsal 20%": "{train} + Rehearsal({old}, ratio=0.2)",
    "sum": "{train} + BaseKL() + Rehearsal({old}, ratio=0.2)",
    "kl on old": "{train} + BaseKL(strength=3, on='memory') + Rehearsal({old}, ratio=0.2)",
    "kl, longer": "{longer} + BaseKL()",
    "rehearsal 5%": "{train} + Rehearsal({old}, ratio=0.05)",
    "mask the target": "{train} + MaskTheTarget()",
    "lora": "{adapter} + LoRA(rank=16)",
    "lora, twice the rate": "{twice} + LoRA(rank=16)",
    "mse": "{train} + BaseMSE()",
    "l2": "{train} + BaseL2(strength=0.1)",
    "ewc": "{train} + EWC(memory={old}, samples=200)",
    "half": "{train} + WiSEFT(alpha=0.5)",
    "half the rate": "{halved}",
    "healed": "{train}",
}
"""The recipes; `train` is plain full training, `longer` the same for five thirds of the epochs, `adapter` the same at
ten times the rate, `twice` at twice and `halved` at half of it, and `old` the names of the old lists."""
HEALED = "healed"
"""The name of plain training that `holdfast heal` brings inside a budget of a point by its validation queries."""
BASES = {
    "ground": {"lr": 5e-4, "epochs": 3, "old": ", ".join(DOMAINS)},
    "real": {"lr": 5e-5, "epochs": 1, "old": "old"},
    "hard": {"lr": 2e-4, "epochs": 1, "old": "old"},
}
"""Bases, with the settings of their training. `hard` is the base of `real`."""


def recipe_of(base: str, name: str) -> str:
    """Returns a recipe as text."""
    settings: dict[str, Any] = BASES[base]

    def train(times: float = 1, longer: float = 1) -> str:
        rate, epochs = times * settings["lr"], longer * settings["epochs"]
        return f"Train(lr={rate:g}, epochs={epochs:g}, batch=16) + Cosine()"

    return RECIPES[name].format(
        train=train(),
        longer=train(longer=5 / 3),
        adapter=train(10),
        twice=train(2),
        halved=train(0.5),
        old=repr(settings["old"]),
    )


def ground(recipe: str, seed: int, out: str) -> RunSpec:
    """Returns the run of a recipe on the reranker of the package."""
    return RunSpec(
        model="ground:reranker",
        data="ground:rerank/contracts/train",
        test="ground:rerank/contracts/proof",
        keep=tuple(f"ground:rerank/{domain}/proof" for domain in DOMAINS),
        memory=tuple(f"{domain}=ground:rerank/{domain}/train" for domain in DOMAINS),
        recipe=recipe,
        seed=seed,
        out=out,
        max_length=128,
        batch_size=16,
        training={"save_strategy": "no"},
    )


def real(recipe: str, seed: int, out: str) -> RunSpec:
    """Returns the run of a recipe on MiniLM."""
    suites = Path(os.environ["HOLDFAST_SUITES"]) / "rerank"
    train_file, test_file = cuad(suites / "cuad", STUDY)
    return RunSpec(
        task="rerank",
        model=str(STUDY.parent / "minilm-reranker"),
        data=str(train_file),
        test=str(test_file),
        transfer=f"{suites / 'contractnli'}:{QUERIES}",
        keep=tuple(f"{suites / name}:{QUERIES}" for name in HELD),
        memory=(f"old={suites / 'squad_train'}:{OLD_LISTS}",),
        depth=DEPTH,
        recipe=recipe,
        seed=seed,
        out=out,
        max_length=128,
        batch_size=16,
        training={"save_strategy": "no"},
    )


def cuad(folder: Path, out: Path, queries: int = QUERIES) -> tuple[Path, Path]:
    """Writes CUAD's lists, split by contract: those to train on, and `queries` of the other contracts to test."""
    from holdfast.rerank.first_stage import with_candidates
    from holdfast.rerank.sources import read_collection

    paths = (out / f"cuad-train-{LISTS}.jsonl", out / f"cuad-test-{queries}-{DEPTH}.jsonl")
    if all(path.exists() for path in paths):
        return paths
    out.mkdir(parents=True, exist_ok=True)
    kept, held = with_candidates(read_collection(str(folder), []), DEPTH).split(0.3)
    for path, lists in zip(paths, (kept.first(LISTS).lists(3), held.first(queries).lists()), strict=True):
        rows = [
            {"id": e.query_id, "query": e.query, "documents": e.documents, "labels": e.labels, "group": e.group}
            for e in lists
        ]
        write_jsonl(path, rows)
    return paths


def suites_of(suites: Sequence[SuiteRow], ranking: Mapping[str, RankingRow]) -> dict[str, Any]:
    """Returns what a row holds of each suite."""
    found = {}
    for suite in suites:
        metric = ranking[suite.name].metrics["nDCG@10"]
        found[suite.name] = {
            "role": suite.role,
            "queries": ranking[suite.name].queries,
            "bm25": round(ranking[suite.name].bm25, 2),
            **{key: round(getattr(metric, key), 2) for key in ("before", "after", "change")},
            **{key: round(value, 2) for key in ("low", "high") if (value := getattr(metric, key)) is not None},
        }
    return found


def row_of(base: str, name: str, seed: int, done: RunResult) -> dict[str, Any]:
    """Returns the row of a finished run."""
    record = done.record
    assert record.ranking is not None
    return {
        "base": base,
        "name": name,
        "seed": seed,
        "recipe": done.spec.recipe,
        "suites": suites_of(record.suites, record.ranking),
        "steps": record.steps,
        "cpu_seconds": None if record.cost is None else round(record.cost.cpu_seconds, 1),
    }


def run(base: str, names: Sequence[str], seeds: Sequence[int], console: Console) -> None:
    """Makes the runs that have no row yet, and adds a row after each."""
    for seed in seeds:
        for name in names:
            rows = read_jsonl(ROWS) if ROWS.exists() else []
            if any((row["base"], row["name"], row.get("seed")) == (base, name, seed) for row in rows):
                continue
            with tempfile.TemporaryDirectory() as out:
                spec = (ground if base == "ground" else real)(recipe_of(base, name), seed, out)
                done = train(spec, console, bases=CACHE)
                row = row_of(base, name, seed, done) if name != HEALED else healed_row(base, seed, done, console)
                if name != HEALED:
                    copied = scores_of(base, name, seed)
                    copied.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(done.folder / "scores.jsonl", copied)
            write_jsonl(ROWS, [*(read_jsonl(ROWS) if ROWS.exists() else []), row])
            console.print(json.dumps(row), soft_wrap=True, highlight=False, markup=False)


def scores_of(base: str, name: str, seed: int) -> Path:
    """Returns the file that keeps the scores of a run."""
    return STUDY / "scores" / f"{base}-{name.replace('%', '')}-{seed}.jsonl"


def healing_sources(base: str) -> tuple[str, tuple[str, ...]]:
    """Returns what a healing learns from: the source of the learned queries, and those of the kept ones."""
    if base == "ground":
        return "ground:rerank/contracts/all", tuple(f"ground:rerank/{domain}/all" for domain in DOMAINS)
    suites = Path(os.environ["HOLDFAST_SUITES"]) / "rerank"
    _, learned = cuad(suites / "cuad", STUDY, HEALED_QUERIES)
    return str(learned), tuple(f"{suites / name}:{HEALED_QUERIES}" for name in HELD)


def healed_row(base: str, seed: int, done: RunResult, console: Console) -> dict[str, Any]:
    """Heals a plain run, and returns the row of the healed model."""
    test, keep = healing_sources(base)
    made = heal(
        HealSpec(
            task="rerank",
            base=done.spec.model,
            tuned=str(done.folder / "model"),
            test=test,
            keep=keep,
            budget={"points": 1},
            evaluations=8,
            max_length=128,
            depth=done.spec.depth,
            out=str(done.folder / "healed"),
        ),
        console,
    )
    assert made.ranking is not None
    return {
        "base": base,
        "name": HEALED,
        "seed": seed,
        "recipe": done.spec.recipe,
        "suites": suites_of(made.suites, made.ranking),
        "steps": done.record.steps,
        "cpu_seconds": None,
        "edit": None if made.edit is None else made.edit.text,
    }


def seeds_rows(base: str, there: Collection[tuple[Any, ...]] = ()) -> list[dict[str, Any]]:
    """Returns a row for each recipe, of its seeds: the mean over them, with intervals over queries and seeds.

    A recipe with its seeds that is `there` is left out, and so are runs whose scores are not on this machine.

    The share of plain training's gain is that of the same seeds, with an interval of paired draws of queries and seeds.
    """
    found: dict[str, list[int]] = {}
    for row in read_jsonl(ROWS):
        if row["base"] == base and row.get("seed") is not None and scores_of(base, row["name"], row["seed"]).exists():
            found.setdefault(row["name"], []).append(row["seed"])
    return [
        _seeds_row(base, name, sorted(seeds), found["plain"])
        for name, seeds in found.items()
        if (base, name, *sorted(seeds)) not in there
    ]


def _seeds_row(base: str, name: str, seeds: Sequence[int], plain: Sequence[int]) -> dict[str, Any]:
    runs = [read_scores(scores_of(base, name, seed)) for seed in seeds]
    moved = over_seeds(runs[0]["before"], [run["after"] for run in runs])
    row: dict[str, Any] = {"base": base, "name": name, "seeds": list(seeds)}
    for role in ("learned", "retained"):
        mean = mean_of([change for change in moved if change.role == role])
        low, high = mean.interval()
        row[role] = {"change": round(mean.change, 2), "low": round(low, 2), "high": round(high, 2)}
    both = [seed for seed in seeds if seed in plain]
    if name != "plain" and both:
        row["share"] = _share(base, name, both)
    return row


def _share(base: str, name: str, seeds: Sequence[int]) -> dict[str, float]:
    """Returns the learned gain as a share of plain training's, with its interval."""
    gains, groups = [], list[str]()
    for of in ("plain", name):
        columns = []
        for seed in seeds:
            scores = read_scores(scores_of(base, of, seed))
            before = {score.item: score for score in scores["before"] if score.role == "learned"}
            after = {score.item: score.value for score in scores["after"] if score.role == "learned"}
            columns.append([after[item] - score.value for item, score in before.items()])
            groups = [score.group for score in before.values()]
        gains.append(np.array(columns).T)
    suites = [Suite(groups, np.ones(len(groups)), gain) for gain in gains]
    draws = Draws.of(suites, len(seeds), 4000)
    weights = draws.seeds / draws.seeds.sum(1, keepdims=True)
    plain, other = ((draws.means(suite) * weights).sum(1) for suite in suites)
    low, high = np.percentile(other[1:] / plain[1:], [2.5, 97.5])
    return {"value": round(float(other[0] / plain[0]), 3), "low": round(float(low), 3), "high": round(float(high), 3)}


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the tables in Markdown: for each base, what each recipe learned and lost."""
    parts = ["# Rerankers: in and out of domain\n\nMade by `python benchmarks/rerank.py report`.\n"]
    everything = [row for row in rows if row.get("seed") is not None]
    over = {(row["base"], row["name"]): row for row in rows if row.get("seed") is None}
    for base in BASES:
        of_base = [row for row in everything if row["base"] == base]
        if not of_base:
            continue
        plain = [row for row in of_base if row["name"] == "plain"]
        gained = statistics.fmean(_mean(row, "learned", "change") for row in plain) if plain else None
        first = of_base[0]["suites"]
        counts = ", ".join(f"{name} {suite['queries']}" for name, suite in first.items())
        parts.append(
            f"\n## {base}\n\n"
            + _lines(
                f"Queries: {counts}. nDCG@10 in points, mean of the seeds: after training, and its change, with the 95%"
                " interval of the change over groups of queries and seeds; the share of plain training's gain is that"
                " of the same seeds."
            )
            + "\n\n"
        )
        parts.append(
            "| recipe | seeds | in domain | of plain's gain | kept domains | worst kept | transfer | CPU s |\n"
        )
        parts.append("|---|---|---|---|---|---|---|---|\n")
        for name in RECIPES:
            found = [row for row in of_base if row["name"] == name]
            if found:
                parts.append(_line(name, found, gained, over.get((base, name))))
        parts.append("\n" + _lines(f"Before: {_befores(first)}. BM25: {_befores(first, 'bm25')}.") + "\n")
    return "".join(parts)


def _lines(text: str) -> str:
    """Returns a paragraph in short lines."""
    return "\n".join(wrapped(text))


def _line(name: str, rows: Sequence[dict[str, Any]], gained: float | None, over: dict[str, Any] | None) -> str:
    learned = statistics.fmean(_mean(row, "learned", "change") for row in rows)
    kept = [_mean(row, "retained", "change") for row in rows]
    worst = min(
        (statistics.fmean(row["suites"][suite]["change"] for row in rows), suite)
        for suite, about in rows[0]["suites"].items()
        if about["role"] == "retained"
    )
    share = "" if not gained else f"{learned / gained:.0%}"
    ends, of_learned = "", None
    if over is not None:
        of_learned, held = over["learned"], over["retained"]
        ends = f" [{held['low']:+.1f}, {held['high']:+.1f}]"
        if "share" in over:
            found = over["share"]
            share = f"{found['value']:.0%} [{found['low']:.0%}, {found['high']:.0%}]"
    costs = [row["cpu_seconds"] for row in rows if row["cpu_seconds"] is not None]
    transfer = [_mean(row, "transfer", "change") for row in rows if _of(row, "transfer")]
    return (
        f"| {name} | {len(rows)} | {_change(rows, 'learned', learned, of_learned)} | {share} |"
        f" {statistics.fmean(kept):+.1f}{ends} | {worst[0]:+.1f} ({worst[1]}) |"
        f" {f'{statistics.fmean(transfer):+.1f}' if transfer else ''} |"
        f" {f'{statistics.fmean(costs):.0f}' if costs else ''} |\n"
    )


def _change(rows: Sequence[dict[str, Any]], role: str, change: float, over: dict[str, Any] | None) -> str:
    after = statistics.fmean(_mean(row, role, "after") for row in rows)
    suites = _of(rows[0], role)
    known = over or (suites[0] if len(rows) == 1 and "low" in suites[0] else None)
    interval = "" if known is None else f" [{known['low']:+.1f}, {known['high']:+.1f}]"
    return f"{after:.1f} ({change:+.1f}{interval})"


def _of(row: dict[str, Any], role: str) -> list[dict[str, Any]]:
    return [suite for suite in row["suites"].values() if suite["role"] == role]


def _mean(row: dict[str, Any], role: str, key: str) -> float:
    return statistics.fmean(suite[key] for suite in _of(row, role))


def _befores(suites: dict[str, Any], key: str = "before") -> str:
    return ", ".join(f"{name} {suite[key]:.1f}" for name, suite in suites.items())


def main() -> None:
    """Runs the study, or writes its tables."""
    told = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    does = told.add_subparsers(dest="does", required=True)
    runs = does.add_parser("run")
    runs.add_argument("base", choices=tuple(BASES))
    runs.add_argument("--seeds", type=int, nargs="+", default=[0])
    runs.add_argument("--only", nargs="+", choices=tuple(RECIPES), default=list(RECIPES))
    does.add_parser("seeds")
    does.add_parser("report")
    given = told.parse_args()
    if given.does == "run":
        run(given.base, given.only, given.seeds, Console())
    elif given.does == "seeds":
        rows = read_jsonl(ROWS)
        there = {(row["base"], row["name"], *row["seeds"]) for row in rows if "seeds" in row}
        made = [row for base in BASES for row in seeds_rows(base, there)]
        names = {(row["base"], row["name"]) for row in made}  # the same seeds stay: their scores may be elsewhere
        write_jsonl(
            ROWS, [*(row for row in rows if "seeds" not in row or (row["base"], row["name"]) not in names), *made]
        )
    else:
        write_atomically(TABLES, tables(read_jsonl(ROWS)))


if __name__ == "__main__":
    main()
