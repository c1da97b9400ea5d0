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
    assert (STUDIES / "rerank-tables.md").read_text() == script("rerank").tables(rows_of("rerank.jsonl"))
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


def test_intervals_whose_scores_are_elsewhere_stay(script, tmp_path, monkeypatch):
    study = script("rerank")
    rows = [{"base": "ground", "name": "kl", "seed": 0}, {"base": "ground", "name": "kl", "seeds": [0], "learned": 1}]
    monkeypatch.setattr(study, "ROWS", tmp_path / "rows.jsonl")
    monkeypatch.setattr(study, "CACHE", tmp_path / "nothing" / "bases")
    monkeypatch.setattr("sys.argv", ["rerank.py", "seeds"])
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    study.main()
    assert [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()] == rows
