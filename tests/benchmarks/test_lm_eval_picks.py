"""The comparison with lm-eval: its rows, its table, and the records that both sides are asked."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from holdfast.probes.items import Item

ROOT = Path(__file__).parents[2]


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("lm_eval_picks")


class Choice:
    nats = (2.0, 1.0)


class Answer:
    value, said, choice = 0.0, "12", Choice()


def test_the_row_of_a_choice_has_both_picks_and_the_distance_of_the_likelihoods(study):
    item = Item(id="a", suite="s", group="a", choices=("yes", "no"))
    sample = {"arguments": [["q", " no"], ["q", " yes"]], "resps": [[[-1.25, False]], [[-2.0, False]]], "acc": 0.0}
    row = study.row(study.Part("gemma-270m", "arc_easy"), item, Answer(), sample)
    assert (row["picks"], row["apart"], row["ours"], row["theirs"]) == (["no", "no"], 0.25, 0.0, 0.0)
    assert study.is_same(row)
    sample["resps"][0] = [[-3.0, False]]
    assert not study.is_same(study.row(study.Part("gemma-270m", "arc_easy"), item, Answer(), sample))


def test_the_row_of_an_answer_has_both_texts_and_is_the_same_if_both_score_alike(study):
    item = Item(id="a", suite="s", group="a", check={"number": 3})
    for theirs, same in ((0.0, True), (1.0, False)):
        row = study.row(study.Part("gemma-270m", "gsm8k"), item, Answer(), {"exact_match": theirs, "resps": [["3"]]})
        assert row["picks"] == ["12", "3"]
        assert study.is_same(row) == same


def test_the_table_counts_the_same_picks_of_each_model_and_suite(study):
    shared = {"model": "gemma-270m", "suite": "arc_easy", "chat": False, "ours_s": 0.3, "theirs_s": 1.2, "ours": 1.0}
    rows = [
        {**shared, "item": "1", "theirs": 1.0, "picks": ["a", "a"], "apart": 2e-5},
        {**shared, "item": "2", "theirs": 0.0, "picks": ["a", "b"], "apart": 1e-5},
    ]
    assert study.table(rows)[2:] == ["| Gemma 3 270M | `arc_easy` | 2 | 100.0 | 50.0 | 1 | 2e-05 nats | 0.3 | 1.2 |"]
    page = study.with_table("before\n\n| model |\n|---|\n\nafter\n", study.table(rows))
    assert page.startswith("before\n\n| model | suite")
    assert page.endswith("1.2 |\n\nafter\n")


def test_the_page_shows_the_table_of_the_rows(study):
    rows = study.rows_of(study.ROWS)
    assert rows
    page = study.ROWS.with_suffix(".md").read_text(encoding="utf-8")
    assert "\n".join(study.table(rows)) in page


@pytest.mark.parametrize("suite", ["arc_easy", "winogrande", "openbookqa", "blimp/adjunct_island", "gsm8k"])
def test_items_and_records_are_of_the_same_questions(study, shared_data, monkeypatch, suite):
    monkeypatch.setenv("HOLDFAST_SUITES", str(shared_data))
    items, records = study.chosen(suite)
    assert len(items) == len(records) == study.TASKS[suite][1]
    for item, record in zip(items, records, strict=True):
        asked = [turn.content for turn in item.turns] + list(item.choices)
        shown = next(
            record[name] for name in ("question", "option1", "question_stem", "sentence_good") if name in record
        )
        assert any(shown.strip() in text for text in asked)
