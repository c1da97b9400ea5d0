"""The demo: both recipes run on the same base and data, and what they gained and lost is told apart."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from holdfast.bench import demo as module
from holdfast.recipe import parse
from holdfast.report.demo import show


@pytest.fixture
def runs(monkeypatch, tmp_path):
    asked = []

    def train(spec, console):
        asked.append(spec)
        gain = 2.0 if len(asked) == 1 else 1.5
        suites = [
            {"name": "task", "role": "learned", "before": 3.0, "after": 3.0 - gain, "change": -gain},
            {"name": "keep-facts", "role": "retained", "before": 0.1, "after": 0.6, "change": 0.5},
            {"name": "keep-sums", "role": "retained", "before": 0.2, "after": 0.5, "change": 0.3},
        ]
        return SimpleNamespace(spec=spec, folder=tmp_path / spec.name, result={"suites": suites})

    monkeypatch.setattr(module, "train", train)
    monkeypatch.setattr(module, "load_or_build", lambda folder, progress: folder)
    return asked


def test_both_recipes_can_be_read_and_differ_only_in_what_holds():
    plain, held = (parse(recipe).parts() for recipe in module.RECIPES.values())
    assert held[: len(plain)] == plain
    assert len(held) > len(plain)


def test_both_runs_share_base_data_and_seed(runs, tmp_path):
    done = module.demo(str(tmp_path), seed=3, console=Console(file=io.StringIO()))
    assert list(done.runs) == ["plain", "held"]
    plain, held = runs
    assert plain.model == held.model
    assert (plain.data, plain.test, plain.keep, plain.seed) == (held.data, held.test, held.keep, 3)
    assert not plain.memory
    assert held.memory
    rows = [json.loads(line) for line in Path(plain.data).read_text(encoding="utf-8").splitlines()]
    assert len(rows) > 100


def test_the_table_and_its_reading_say_gained_and_lost(runs, tmp_path):
    text = io.StringIO()
    show(module.demo(str(tmp_path), console=Console(file=io.StringIO())), Console(file=text, width=100))
    lines = text.getvalue().splitlines()
    assert any(
        "new people (learned)" in line and "1.000 (-2.000)" in line and "1.500 (-1.500)" in line for line in lines
    )
    assert any("facts (to keep)" in line and "0.600 (+0.500)" in line for line in lines)
    assert any("plain" in line and "gained 2.00" in line and "lost 0.40" in line for line in lines)
    assert any("held" in line and "gained 1.50" in line for line in lines)
