"""`holdfast train --dry-run` shows what was understood and stops."""

from __future__ import annotations

import json
import math

import pytest

from holdfast.bench.run.inputs import text_pieces
from holdfast.cli.main import main
from holdfast.core.mix import Example
from holdfast.probes.items import read_items
from tests import tiny


@pytest.fixture
def dry(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    rows = [{"prompt": f"What is {i}?", "completion": f" It is {i}."} for i in range(30)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def call(*flags):
        given = ["--model", "ground:base", "--data", str(tmp_path / "d.jsonl"), "--held-out", "0.2"]
        given += ["--max-length", "64", "--out", str(tmp_path / "runs")]
        given += ["--recipe", "Train(lr=1e-3, epochs=2, batch=4) + LoRA()"]
        capsys.readouterr()
        code = main(["train", *given, "--dry-run", *flags])
        return code, capsys.readouterr().out

    return call


def test_it_shows_what_was_understood_and_writes_nothing(dry, tmp_path):
    code, said = dry()
    assert code == 0
    assert not (tmp_path / "runs").exists()
    text = " ".join(said.split())
    for part in (
        "30 rows (30 prompts with completions)",
        "24 training rows with",
        "6 of 30 rows of",
        "measured: task (learned), 6 texts or examples",
        "of them train",
        "memory: about",
        "learning rate 0.001, schedule cosine",
        "2 epochs = 12 steps of 4 rows",
        "--batch-size is 4 instead of 8, so that it divides Train(batch=4).",
        "3 rows as the model will see them",
        "This was a dry run: it trained nothing and wrote nothing.",
    ):
        assert part in text, (part, text)
    assert said.count("«") == said.count("»") == 4  # of the heading, and one answer in each row
    assert all(len(line) <= 80 for line in said.splitlines())


def test_it_shows_how_small_a_loss_the_items_can_prove(dry, tmp_path):
    for name, count in (("few", 50), ("many", 800)):
        items = [
            {"id": f"{i}", "suite": name, "prompt": f"{name} {i}?", "check": {"exact": f"{i}"}} for i in range(count)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    kept = ("--keep", str(tmp_path / "few.jsonl"), str(tmp_path / "many.jsonl"))
    text = " ".join(dry(*kept, "--budget", "points=2")[1].split())
    few, many = (
        sum(item.split == "proof" for item in read_items(tmp_path / f"{name}.jsonl")) for name in ("few", "many")
    )
    assert few < 50 < many < 800  # a guard watches the others, and no verdict judges them

    def points(count):  # (z(.95) + z(.8)) sqrt(.04 / n); n = .04 (2.486 / .02)^2 = 619
        return f"{100 * 2.4865 * math.sqrt(0.04 / count):.1f} points"

    for part in (
        "what independent items can prove with a chance of 80%, if nothing is lost and 4 of 100 answers flip (half of"
        " them to right, half to wrong):",
        f"few: {few} items prove a loss of at most {points(few)}; 2 points take about 619",
        f"many: {many} items prove a loss of at most {points(many)}; 2 points take about 619",
        f"the mean of the 2 suites, which the budget limits: a loss of at most {points(4 / (1 / few + 1 / many))}",
    ):
        assert part in text, (part, text)
    without = " ".join(dry(*kept)[1].split())
    assert "few: 50 items prove a loss of at most 7.0 points" in without
    assert "many: 800 items prove a loss of at most 1.8 points" in without
    assert "points take about" not in without
    assert "which the budget limits" not in without


def test_suites_with_as_many_items_share_a_line(dry, tmp_path):
    names = ("one", "two", "three")
    items = [{"id": f"{i}", "suite": name, "prompt": f"{name} {i}?", "check": {"exact": "x"}}
             for name in names for i in range(40)]  # fmt: skip
    (tmp_path / "kept.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    text = " ".join(dry("--keep", str(tmp_path / "kept.jsonl"))[1].split())
    assert "one, two, three: 40 items each prove a loss of at most" in text


def test_what_does_not_fit_is_said_and_not_refused(dry, monkeypatch):
    monkeypatch.setattr("holdfast.bench.run.resources.free_memory", lambda: (10, "in memory"))
    code, said = dry("--recipe", "Train(lr=1e-3)")
    assert code == 0
    assert "full training needs about" in " ".join(said.split())


def test_a_mistake_is_still_a_mistake(dry, tmp_path):
    (tmp_path / "d.jsonl").write_text("")
    assert dry()[0] == 1


def test_the_marked_tokens_are_those_that_are_learned():
    tokenizer = tiny.tokenizer()
    ids = (5, 6, 7, 8, 2)
    example = Example(ids, (-100, -100, 7, 8, 2))
    found = text_pieces(example, tokenizer)
    assert [learned for _, learned in found] == [False, True]
    assert "".join(text for text, _ in found) == tokenizer.decode(list(ids))
    assert found[0][0].split() == ["t5", "t6"]
    assert found[1][0].split() == ["t7", "t8", "</s>"]
    whole = text_pieces(Example(ids, ids), tokenizer)
    assert [learned for _, learned in whole] == [False, True]  # nothing stands before the first, so it is not learned
