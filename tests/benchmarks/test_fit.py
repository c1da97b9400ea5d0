"""The comparison of fits with random searches: what a search chooses, and that the tables hold every row."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from holdfast.bench.machine.files import read_jsonl

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fit(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("fit")


def test_a_search_takes_the_best_learner_inside_the_budget_by_validation_items(fit):
    inside, outside, more = (fit.Whole(seen, (0.0, 0.0)) for seen in ((50.0, 1.9), (90.0, 2.1), (60.0, 0.5)))
    assert fit.best([inside, outside, more]) is more
    assert fit.best([outside, fit.Whole((99.0, 9.0), (0.0, 0.0))]) is outside, (
        "the least lossy one where none is inside"
    )


@pytest.mark.parametrize(("kept", "count", "least"), [(59, 59, "95%"), (1, 1, "5%"), (0, 3, "0%")])
def test_the_bound_is_that_of_clopper_and_pearson(fit, kept, count, least):
    assert fit.bound(kept, count) == least


def test_the_tables_hold_every_row(fit):
    rows, text = list(read_jsonl(ROOT / fit.ROWS)), (ROOT / fit.TABLES).read_text(encoding="utf-8")
    for row in rows:
        assert f"| {row['kind']} | {row['task']} | {row['world']} | {row['seed']} | {row['learned']:.1f} |" in text
