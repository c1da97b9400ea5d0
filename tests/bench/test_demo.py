"""The demo: all recipes run on the same base and data, and what they learned and lost is told apart."""

from __future__ import annotations

import dataclasses
import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from holdfast.bench import demo as module
from holdfast.bench.records import write_jsonl
from holdfast.data.examples import read
from holdfast.methods.holdfast import Holdfast, short
from holdfast.methods.schedules.cosine import Cosine
from holdfast.methods.schedules.train import Train
from holdfast.probes.sources import items_of
from holdfast.recipe import parse
from holdfast.report.demo import show


@pytest.fixture
def runs(monkeypatch, tmp_path):
    asked = []

    def train(spec, console):
        asked.append(spec)
        plain = len(asked) == 1
        folder = tmp_path / spec.name
        folder.mkdir()
        suites = [
            {"name": "task", "role": "learned", "unit": "points", "before": 3.0, "after": 90.0, "change": 87.0},
            {"name": "facts", "role": "retained", "unit": "points", "before": 99.0, "after": 59.0, "change": -40.0},
            {"name": "sums", "role": "retained", "unit": "points", "before": 90.0, "after": 80.0, "change": -10.0},
            {"name": "text", "role": "retained", "unit": "nats", "before": 0.7, "after": 0.9, "change": 0.2},
        ]
        after = 0.0 if plain else 100.0
        scores, said = [], []
        for suite, item in (("facts", "facts-1"), ("sums", "sums-1")):
            for moment, value in (("before", 100.0), ("after", after)):
                scores.append(
                    {"role": "retained", "unit": "points", "suite": suite, "item": item, "moment": moment}
                    | {"value": value}
                )
                text = f"{moment} {spec.name}"
                said.append({"moment": moment, "suite": suite, "item": item, "asked": f"Ask {item}?", "said": text})
        write_jsonl(folder / "scores.jsonl", scores)
        write_jsonl(folder / "answers.jsonl", said)
        word = "forgot" if plain else "kept"
        verdict = {"word": word, "budget": {"points": 2}, "claim": "mean", "suites": {}, "unjudged": []}
        verdict["means"] = [{"unit": "points", "suites": 2, "change": -1.0, "low": -2.0, "high": 0.0, "word": word}]
        return SimpleNamespace(spec=spec, folder=folder, result={"suites": suites, "verdict": verdict})

    monkeypatch.setattr(module, "train", train)
    return asked


def test_the_recipes_can_be_read_and_are_plain_training_and_holdfast():
    plain, *held = (parse(recipe).parts() for recipe in module.RECIPES.values())
    assert {type(method) for method in plain} == {Train, Cosine}
    assert [short(parts)[0] for parts in held] == [Holdfast(), Holdfast("ground:general/memory")]
    settings = {dataclasses.replace(parts[0], lr=None) for parts in (plain, *held)}
    assert len(settings) == 1, "they differ in more than the rate"


def test_all_runs_share_base_data_and_seed(runs, tmp_path):
    done = module.demo(str(tmp_path), seed=3, console=Console(file=io.StringIO()))
    assert list(done.runs) == ["plain", "held", "held-old"]
    plain = runs[0]
    assert {(run.model, run.data, run.test, run.keep, run.seed) for run in runs} == {
        ("ground:base", plain.data, plain.test, plain.keep, 3)
    }
    assert len(read(plain.data)) > 1000
    assert len(items_of(plain.test)) >= 200
    assert {item.suite for source in plain.keep for item in items_of(source)} >= {"facts", "sums", "refuse"}


def test_the_table_and_its_reading_say_learned_and_lost(runs, tmp_path):
    text = io.StringIO()
    show(module.demo(str(tmp_path), console=Console(file=io.StringIO())), Console(file=text, width=100))
    lines = text.getvalue().splitlines()
    assert any("new people (learned)" in line and "90.0 (+87.0)" in line for line in lines)
    assert any(line.startswith(" facts") and "59.0 (-40.0)" in line for line in lines)
    assert not any(line.startswith(" text") for line in lines)
    assert any("plain" in line and "knows 90%" in line and "lost 25.0 points" in line for line in lines)
    assert any("40 on the worst suite" in line for line in lines)


def test_answers_that_only_plain_training_lost_are_shown(runs, tmp_path):
    text = io.StringIO()
    show(module.demo(str(tmp_path), console=Console(file=io.StringIO())), Console(file=text, width=100))
    said = text.getvalue()
    assert "facts: Ask facts-1?" in said
    assert "plain:    after plain-seed0" in said
    assert "held-old: after held-old-seed0" in said
