"""The studies of rerankers: their tables are those of their rows, and what they count is what it says."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "docs/studies"


def rows_of(name):
    return [json.loads(line) for line in (STUDIES / name).read_text().splitlines()]


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


def test_the_tables_are_those_of_the_rows(script, monkeypatch):
    monkeypatch.chdir(ROOT)
    pilot = script("rerank_pilot")
    study = script("rerank")
    tables = study.tables(rows_of("rerank.jsonl"), (*study.BASES, *study.EARLIER), tuple(study.RECIPES))
    assert (STUDIES / "rerank-tables.md").read_text() == tables
    assert (STUDIES / "rerank-drift-tables.md").read_text() == script("rerank_drift").tables(
        rows_of("rerank-drift.jsonl")
    )
    assert (STUDIES / "rerank-pilot-tables.md").read_text() == pilot.tables(
        rows_of("rerank-pilot.jsonl"), pilot.whole_runs()
    )


def test_every_fixed_run_of_the_drift_has_its_row_and_none_is_of_the_first_study(script):
    runs = {made.name: (made.seed, made.data, made.recipe) for made in script("rerank_drift").RUNS}
    rows = {row["name"]: (row["seed"], row["data"], row["recipe"]) for row in rows_of("rerank-drift.jsonl")}
    assert rows == runs
    assert not {row["seed"] for row in rows_of("rerank-symptoms.jsonl")} & {seed for seed, _, _ in runs.values()}


def test_kept_counts_documents_above_the_limit_of_best_f1(script):
    before = {"q": {"a": 3.0, "b": 2.0, "c": 1.0, "d": 0.0}}
    after = {"q": {"a": 3.5, "b": 3.2, "c": 3.1, "d": 3.0}}
    collection = SimpleNamespace(judged=["q"], judgments={"q": {"a": 1}})
    kept = script("rerank_drift")._kept
    ranked = [SimpleNamespace(raw=before)], [SimpleNamespace(raw=after)]
    assert kept([SimpleNamespace(collection=collection)], *ranked) == 4.0, "the limit is 3.0, which a alone reached"


def row_of(name, seed, learned, kept):
    suites = {"cuad": ("learned", learned), "old": ("retained", kept)}
    return {
        "base": "hard",
        "name": name,
        "seed": seed,
        "cpu_seconds": 1,
        "suites": {
            suite: {"role": role, "queries": 3, "bm25": 40, "before": 50, "after": 50 + change, "change": change}
            for suite, (role, change) in suites.items()
        },
    }


def scored(values, role, suite, moment):
    score = {"split": "proof", "unit": "points", "higher_is_better": True, "suite": suite, "role": role}
    return [
        {"run": "r", "moment": moment, **score, "item": f"q{n}", "group": f"g{n}", "value": float(value)}
        for n, value in enumerate(values)
    ]


@pytest.fixture
def kept_scores(script, tmp_path, monkeypatch):
    """Keeps the scores of a run: those of the base are 50, and the changes are given."""
    module = script("rerank_scores")
    monkeypatch.setattr(module, "SCORES", tmp_path / "scores.jsonl")

    def keep(name, seed, learned, kept, base=50):
        run = tmp_path / f"{name}-{seed}.jsonl"
        lines = [
            *scored([base] * 3, "learned", "cuad", "before"),
            *scored([base] * 3, "retained", "old", "before"),
            *scored([base + change for change in learned], "learned", "cuad", "after"),
            *scored([base + change for change in kept], "retained", "old", "after"),
        ]
        run.write_text("".join(json.dumps(line) + "\n" for line in lines))
        module.keep_scores("hard", name, seed, run)

    keep.module = module
    return keep


def test_intervals_come_from_the_kept_scores_and_others_stay(script, kept_scores):
    kept_scores("plain", 0, (10, 20, 30), (-4, -2, 0))
    kept_scores("kl", 0, (5, 10, 15), (-1, 0, 1))
    rows = [row_of("plain", 0, 20, -2), row_of("kl", 0, 10, 0), row_of("l2", 0, 9, 0)]
    there = [{"base": "hard", "name": "l2", "seeds": [0], "learned": "as it was"}]
    made = script("rerank_tables").with_intervals([*rows, *there], ("hard",))
    assert made[:4] == [*rows, *there]
    plain, kl = made[4:]
    assert plain["learned"]["change"] == 20
    assert plain["retained"]["change"] == -2
    assert plain["retained"]["low"] < -2 < plain["retained"]["high"]
    assert kl["share"] == {"value": 0.5, "low": 0.5, "high": 0.5}, "half of the gain of each query"


def test_more_seeds_with_intervals_than_with_scores_stay(script, kept_scores):
    kept_scores("plain", 2, (10, 20, 30), (-4, -2, 0))
    there = {"base": "hard", "name": "plain", "seeds": [0, 1], "learned": "as it was"}
    rows = [row_of("plain", seed, 20, -2) for seed in range(3)]
    assert script("rerank_tables").with_intervals([*rows, there], ("hard",)) == [*rows, there]


def test_a_table_has_intervals_of_all_its_seeds_or_none(script):
    study = script("rerank_tables")
    ends = {"change": 1, "low": -7.7, "high": 8.8}
    over = {"base": "hard", "name": "plain", "seeds": [0, 1], "learned": ends, "retained": ends}
    rows = [row_of("plain", 1, 30, -3), row_of("plain", 0, 10, -1)]
    both = study.tables([*rows, over], ("hard",), ("plain",))
    assert "-2.0 [-7.7, +8.8] | -1.0, -3.0 |" in both
    assert "7.7" not in study.tables([*rows, row_of("plain", 2, 1, 1), over], ("hard",), ("plain",))


def test_a_share_is_that_of_the_same_seeds(script):
    rows = [row_of("plain", 0, 10, -1), row_of("plain", 1, 30, -3), row_of("kl", 1, 15, 0)]
    assert "| kl | 1 | 65.0 (+15.0) | 50% |" in script("rerank_tables").tables(rows, ("hard",), ("plain", "kl"))


def test_scores_of_another_base_are_refused(kept_scores):
    kept_scores("plain", 0, (1, 2, 3), (0, 0, 0))
    with pytest.raises(kept_scores.module.OtherBaseError, match="the base answers otherwise"):
        kept_scores("plain", 1, (1, 2, 3), (0, 0, 0), base=49)
    assert kept_scores.module.seeds_of("hard", "plain") == [0]
