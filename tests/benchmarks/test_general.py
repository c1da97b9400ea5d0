"""The study of `general`: its damage, its rows and its table."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

from holdfast.bench.machine.files import read_jsonl
from holdfast.general.names import KINDS
from tests import tiny

ROOT = Path(__file__).parents[2]


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return importlib.import_module("general")


def test_the_items_of_a_kind_are_chosen_by_their_ids_alone_and_a_damaged_model_is_asked_the_first(study):
    whole, first = study.asked("units", "as it is"), study.asked("units", "noise")
    assert (len(whole), len(first)) == (study.MOST, study.DAMAGED)
    assert whole[: study.DAMAGED] == first
    assert study.digest(first) != study.digest(whole)


def test_noise_is_relative_to_each_matrix_and_the_same_every_time(study):
    models = [tiny.tiny("llama", seed=0).float() for _ in range(3)]
    for model in models[1:]:
        study.add_noise(model, 0.5)
    for (name, was), (_, one), (_, other) in zip(*(model.named_parameters() for model in models), strict=True):
        assert torch.equal(one, other)
        if was.dim() > 1:
            assert float(((one - was).std() / was.std()).detach()) == pytest.approx(0.5, rel=0.25), name
        else:
            assert torch.equal(one, was)


def test_a_run_goes_on_where_it_stopped_and_its_rows_become_a_table(study, monkeypatch, tmp_path):
    tiny.tiny("llama", seed=0, vocab_size=512).float().save_pretrained(tmp_path / "small")
    tiny.tokenizer().save_pretrained(tmp_path / "small")
    for name, value in {"MOST": 5, "DAMAGED": 3, "STEPS": 2, "NAMES": {"small": "Small"}}.items():
        monkeypatch.setattr(study, name, value)
    out = tmp_path / "general.jsonl"
    words = ["general", "run", "small", "--models", tmp_path, "--out", out, "--kinds", "units", "order"]
    monkeypatch.setattr(sys, "argv", [*map(str, words), "--states", "as it is", "noise"])
    study.main()
    first = out.read_text()
    assert [(row["state"], row["kind"], len(row["right"])) for row in map(json.loads, first.splitlines())] == [
        (state, kind, count) for state, count in (("as it is", 5), ("noise", 3)) for kind in ("units", "order")
    ]
    monkeypatch.setattr(sys, "argv", [*map(str, words), "--said", str(tmp_path / "said.jsonl")])
    study.main()
    assert out.read_text().startswith(first)
    rows = study.rows_of(out)
    assert len(rows) == 6
    assert len(list(read_jsonl(tmp_path / "said.jsonl"))) == 6
    page = "# Study\n\n| kind | x |\n|---|---|\n| a | 1 |\n\nAfter.\n"
    (tmp_path / "general.md").write_text(page)
    monkeypatch.setattr(sys, "argv", ["general", "report", "--out", str(out)])
    study.main()
    written = (tmp_path / "general.md").read_text()
    assert written.startswith("# Study\n\n| kind | items | Small, as it is | Small, noise | Small, bad tuning |")
    assert written.endswith(" |\n\nAfter.\n")
    assert written.count("\n| ") == 2 + len(KINDS)


def test_a_change_that_is_certain_is_marked(study):
    kind, count = "arithmetic", study.DAMAGED
    rows = {
        ("m", state, kind): {"right": right}
        for state, right in zip(
            study.STATES, ("1" * count + "0" * (study.MOST - count), "0" * count, "1" * (count - 1) + "0"), strict=True
        )
    }
    assert [study.cell(rows, "m", state, kind) for state in study.STATES] == ["60", "-100*", "-4"]
    assert [study.mean_cell(rows, "m", state)[:6] for state in study.STATES] == ["60.0", "-100.0", "-4.2 ["]
    assert study.cell(rows, "m", "noise", "units") == ""


def test_the_page_holds_the_table_of_the_committed_rows(study):
    page = (ROOT / "docs/studies/general.md").read_text(encoding="utf-8")
    assert "\n".join(study.table(study.rows_of(study.ROWS))) in page
    assert all(any(row["kind"] == kind for row in study.rows_of(study.ROWS)) for kind in KINDS)
