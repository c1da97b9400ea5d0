"""What do rerankers lose outside the domain that they learn, and which recipes hold it? On two bases.

    python benchmarks/rerank.py run ground [--seeds 0 1 2] [--only plain kl]     (resumable: a run with a row is kept)
    python benchmarks/rerank.py run real [--seeds 0]
    python benchmarks/rerank.py run hard [--seeds 0]        (the real base at four times the rate)
    python benchmarks/rerank.py seeds      (intervals over the seeds, from the scores that are kept; needs no model)
    python benchmarks/rerank.py report                                           (needs no model)

ground    the reranker that comes with the package learns to rank clauses of contracts. Kept are its five domains, each
          with the 300 test queries of the split `proof` and 20 candidates a query; learned is `contracts/proof`. Old
          lists come from the five domains, in other worlds than those that are measured.
real      the cross-encoder of benchmarks/rerank_base.py (MiniLM, 22 M parameters) learns CUAD: 300 queries of
          7 in 10 contracts to train on, and 200 queries of the other contracts to test. Kept are squad_dev, xquad_en,
          boolq_val, scifact_subset and medquad; contractnli is the transfer. Each has 200 queries, chosen by the hash
          of their ids, with the 10 best candidates of BM25 (of the own contract, where there is one). Pairs are cut to
          128 tokens. Old lists come from squad_train. It computes in bf16 where the processor has units for it. Set
          HOLDFAST_SUITES to the folder with `rerank/`. Earlier rows have 40 queries, in float32, on a base that another
          processor trained.
hard      as `real`, at four times the rate: what a reranker that is trained hard on one domain loses.

Training lists have the relevant documents, three hard negatives of the first stage and a random document. The loss is
ListNet's with certain labels (`--loss listnet`). Figures are nDCG@10 in points, on queries that steered nothing.

`healed` is plain training that `holdfast heal` brings inside a budget of a point, by the validation queries of the
same domains; on the real base it has `HEALED_QUERIES` queries of each, of which about a third are for validation.

docs/studies/rerank.jsonl           a row for each run, and a row with intervals for each recipe (`seeds`)
docs/studies/rerank-scores.jsonl    the scores of the queries, from which the intervals are made
docs/studies/rerank-tables.md       the tables; those of docs/rerank.md are written into it
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from real_written import precision
from rerank_scores import keep_scores, seeds_of
from rerank_tables import Row, page_table, tables, with_intervals
from rich.console import Console
from tables import filled

from holdfast.bench.given.heal_spec import HealSpec
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.heal.heal import heal
from holdfast.bench.machine.files import read_jsonl, write_atomically, write_jsonl
from holdfast.bench.measured.outcome import SuiteRow
from holdfast.bench.measured.ranking_record import RankingRow
from holdfast.bench.run.run import RunResult, train

ROWS, TABLES = Path("docs/studies/rerank.jsonl"), Path("docs/studies/rerank-tables.md")
PAGE = Path("docs/rerank.md")
STUDY = Path(os.environ.get("HOLDFAST_MODELS", Path.home() / ".cache" / "holdfast-models")) / "rerank-study"
"""Folder of what the runs share: lists and the scores of the bases. The real base lies beside it."""
CACHE = STUDY / "bases"
"""Scores of the bases."""
DOMAINS = ("people", "towns", "events", "shop", "land")
HELD = ("squad_dev", "xquad_en", "boolq_val", "scifact_subset", "medquad")
QUERIES, DEPTH, LISTS, OLD_LISTS = 200, 10, 300, 300
HEALED_QUERIES = 300
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
    "ewc, strength 100": "{train} + EWC(memory={old}, samples=200, strength=100)",
    "ewc, strength 10000": "{train} + EWC(memory={old}, samples=200, strength=10000)",
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
EARLIER = ("ground, earlier", "real, 40 queries", "hard, 40 queries")
"""Rows of other processors: of the embedded base, and of a real base that one of them trained, with 40 queries of each
domain."""


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
        precision=precision(),
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
        "precision": done.spec.precision,
        "suites": suites_of(record.suites, record.ranking),
        "steps": record.steps,
        "cpu_seconds": None if record.cost is None else round(record.cost.cpu_seconds, 1),
    }


def run(base: str, names: Sequence[str], seeds: Sequence[int], again: bool, console: Console) -> None:
    """Makes the runs that have no row yet, and adds a row after each.

    With `again`, runs are also made whose scores are not kept; a new row takes the place of the old one.
    """
    for seed in seeds:
        for name in names:
            has_row = any(_is_of(row, base, name, seed) for row in _rows())
            if has_row and (not again or name == HEALED or seed in seeds_of(base, name)):
                continue
            with tempfile.TemporaryDirectory() as out:
                spec = (ground if base == "ground" else real)(recipe_of(base, name), seed, out)
                done = train(spec, console, bases=CACHE)
                row = row_of(base, name, seed, done) if name != HEALED else healed_row(base, seed, done, console)
                if name != HEALED:
                    keep_scores(base, name, seed, done.folder / "scores.jsonl")
            write_jsonl(ROWS, [*(row for row in _rows() if not _is_of(row, base, name, seed)), row])
            console.print(json.dumps(row), soft_wrap=True, highlight=False, markup=False)


def _rows() -> list[Row]:
    return read_jsonl(ROWS) if ROWS.exists() else []


def _is_of(row: Row, base: str, name: str, seed: int) -> bool:
    return (row["base"], row["name"], row.get("seed")) == (base, name, seed)


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
            precision=done.spec.precision,
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
        "precision": done.spec.precision,
        "suites": suites_of(made.suites, made.ranking),
        "steps": done.record.steps,
        "cpu_seconds": None,
        "edit": None if made.edit is None else made.edit.text,
    }


def main() -> None:
    """Runs the study, or writes its tables."""
    told = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    does = told.add_subparsers(dest="does", required=True)
    runs = does.add_parser("run")
    runs.add_argument("base", choices=tuple(BASES))
    runs.add_argument("--seeds", type=int, nargs="+", default=[0])
    runs.add_argument("--only", nargs="+", choices=tuple(RECIPES), default=list(RECIPES))
    runs.add_argument("--again", action="store_true", help="also make runs whose scores are not kept")
    does.add_parser("seeds")
    does.add_parser("report")
    given = told.parse_args()
    if given.does == "run":
        run(given.base, given.only, given.seeds, given.again, Console())
    elif given.does == "seeds":
        write_jsonl(ROWS, with_intervals(read_jsonl(ROWS), tuple(BASES)))
    else:
        rows = read_jsonl(ROWS)
        write_atomically(TABLES, tables(rows, (*BASES, *EARLIER), tuple(RECIPES)))
        blocks = {"earlier": page_table(rows, EARLIER[0]), **{base: page_table(rows, base) for base in BASES}}
        write_atomically(PAGE, filled(PAGE.read_text(encoding="utf-8"), blocks))


if __name__ == "__main__":
    main()
