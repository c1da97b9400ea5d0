"""The fit of the forecast: the committed one is that of the committed rows, and its intervals cover synthetic tasks."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pytest

from holdfast.bench.forecast.features import FEATURES
from holdfast.bench.forecast.fitted import TARGETS, committed, points

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("forecast_fit")


def case(script, draw, group, shift):
    features = {name: float(value) for name, value in zip(FEATURES, draw.normal(size=len(FEATURES)), strict=True)}
    lost = points(-2.0 + features["drift on what is kept"] + shift + 0.3 * draw.normal())
    drift = {f"s{i}": float(value) for i, value in enumerate(draw.exponential(size=8))}
    came = {
        "learned": points(1.0 + features["task surprise left"] + shift),
        "lost": lost,
        "worst": min(2 * lost, 100.0),
    }
    return script.Case((0, group), "plain", features, drift, {name: 50 * value for name, value in drift.items()}, came)


def synthetic(script, seed, groups=14, rows=8):
    draw = np.random.default_rng(seed)
    return [
        case(script, draw, f"task {group}", shift)
        for group, shift in enumerate(0.5 * draw.normal(size=groups))
        for _ in range(rows)
    ]


def test_intervals_cover_synthetic_tasks_that_the_fit_has_not_seen(script):
    inside = []
    for seed in range(4):
        done = script.check(synthetic(script, seed), lambda row: row.group, "lost")
        inside += done.inside
        assert script.ranks(done, groups=True) > 0.8
    assert 0.82 < np.mean(inside) < 0.97


def test_a_check_does_not_see_the_outcome_of_what_it_forecasts(script):
    rows = synthetic(script, 0)
    other = [
        dataclasses.replace(row, came=dict.fromkeys(TARGETS, 50.0)) if row.group[1] == "task 3" else row for row in rows
    ]
    for target in TARGETS:
        before, after = (script.check(some, lambda row: row.group, target) for some in (rows, other))
        here = [i for i, row in enumerate(before.cases) if row.group[1] == "task 3"]
        assert [before.middle[i] for i in here] == [after.middle[i] for i in here]
        assert before.middle != after.middle


def test_the_suites_that_a_forecast_names_are_compared_with_those_that_lose_most(script):
    rows = [row for row in synthetic(script, 1) if row.came["lost"] >= script.LEAST]
    assert script.suites(script.compared(rows)) == pytest.approx((1.0, 3 / 8, 1.0))
    other = [dataclasses.replace(row, early={name: -value for name, value in row.early.items()}) for row in rows]
    hits, _, order = script.suites(other)
    assert hits < 0.2
    assert order == pytest.approx(-1.0)


def test_the_committed_fit_is_that_of_the_committed_rows(script, monkeypatch):
    monkeypatch.chdir(ROOT)
    made, _ = script.cases(ROOT / "docs/studies/real.jsonl")
    fit = script.fitted([row for row in made if not isinstance(row.group[0], str)])
    there = committed()
    assert dataclasses.replace(fit, checks=there.checks) == there
