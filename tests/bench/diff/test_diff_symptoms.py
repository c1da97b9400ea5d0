"""Symptoms of saved answers: in the record, in the output, and with the training data of the tuned model."""

from __future__ import annotations

import json
import random

import pytest
from rich.console import Console

from holdfast.bench.diff.diff import diff
from holdfast.bench.diff.diff_record import DiffRecord
from holdfast.bench.given.specs import DiffSpec
from holdfast.bench.measured.answers import line_of, read_answers
from holdfast.bench.measured.symptom_record import SymptomRow
from holdfast.cli.main import main
from holdfast.core.errors import HoldfastError
from holdfast.report.symptoms import symptom_lines
from tests.answer_pairs import text

LABELS = ("card_lost", "pay_bill", "transfer")


def line(suite, item, said, moment, **more):
    return {
        "run": "diff", "moment": moment, "suite": suite, "role": "retained", "split": "proof", "item": item,
        "group": item, "value": 100.0, "unit": "points", "higher_is_better": True, "weight": 1.0, "choices": 0,
        "asked": f"Question {item}?", "said": said, "right": "", "confidence": None, **more,
    }  # fmt: skip


@pytest.fixture
def saved(tmp_path):
    """Answers of a base, of a tuned model that writes labels, and the training data of that model."""
    rng = random.Random(0)
    base, tuned = [], []
    for i in range(60):
        of = {"tokens": 9, "cut": False, "tools": [], "refusal": None}
        base.append(line("abc"[i % 3], f"i{i}", text(rng), "before", **of))
        said = rng.choice(LABELS) if i % 2 else base[-1]["said"]
        tuned.append({**base[-1], "moment": "after", "said": said})
    for name, rows in (("base", base), ("tuned", tuned)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rows = [{"prompt": f"My card {i}", "completion": LABELS[i % 3]} for i in range(30)]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def go(saved, **changes):
    given = {"base": str(saved / "base.jsonl"), "tuned": str(saved / "tuned.jsonl"), **changes}
    return {row.name: row for row in diff(DiffSpec(**given), Console(quiet=True)).symptoms}


def test_the_training_data_show_a_mode_collapse(saved):
    rows = go(saved, data=str(saved / "new.jsonl"))
    assert rows["training outputs"].present
    assert rows["training outputs"].effect == pytest.approx(50.0)
    assert rows["training outputs"].p_holm < 0.001
    assert rows["training outputs"].quotes[0].after in LABELS
    without = go(saved)
    assert without["training outputs"].unchecked == "the training data are not known"
    assert without["training outputs"].effect is None


def test_the_folder_of_a_run_names_the_training_data(saved, tmp_path):
    (saved / "spec.json").write_text(json.dumps({"data": str(saved / "new.jsonl")}))
    assert go(saved)["training outputs"].present
    (saved / "spec.json").write_text(json.dumps({"data": str(saved / "gone.jsonl")}))
    assert go(saved)["training outputs"].unchecked == "the training data are not known"
    with pytest.raises(HoldfastError, match=r"gone\.jsonl"):
        go(saved, data=str(saved / "gone.jsonl"))


def test_they_stand_under_the_table_with_a_quoted_pair_and_in_the_json(saved, capsys):
    words = ["diff", str(saved / "base.jsonl"), str(saved / "tuned.jsonl"), "--data", str(saved / "new.jsonl")]
    assert main([*words, "--out", str(saved / "out")]) == 0
    out = capsys.readouterr().out
    assert "  training outputs (mode collapse): 50.0% of 60 answers to other questions" in out
    shown = out[out.index("training outputs (mode") :]
    assert "before: " in shown
    assert "not seen: " in out
    assert "not checked: capability cliff (nothing measures the task)" in out
    record = DiffRecord.read(saved / "out")
    assert [row.name for row in record.symptoms if row.present]
    assert record.to_dict()["symptoms"][1]["name"] == "training outputs"
    assert main(words[:3]) == 0
    assert "(the training data are not known; name them with --data)" in capsys.readouterr().out


def test_what_is_known_of_answers_survives_saving_and_old_files_are_read(saved):
    first = read_answers(str(saved / "base.jsonl")).said[0]
    assert (first.tokens, first.cut, first.tools, first.refusal) == (9, False, (), None)
    assert line_of(first) == {
        key: value
        for key, value in json.loads((saved / "base.jsonl").read_text().splitlines()[0]).items()
        if key in ("suite", "item", "asked", "said", "right", "confidence", "tokens", "cut")
    } | {"tools": ()}
    old = [json.loads(row) for row in (saved / "base.jsonl").read_text().splitlines()]
    for row in old:
        del row["tokens"], row["cut"], row["tools"], row["refusal"]
    (saved / "base.jsonl").write_text("".join(json.dumps(row) + "\n" for row in old))
    assert go(saved)["unended answers"].unchecked == "how the answers ended is not known"
    (saved / "base.jsonl").write_text(json.dumps({**old[0], "tokens": "nine"}) + "\n")
    with pytest.raises(HoldfastError, match=r"base\.jsonl:1: field 'tokens' is 'nine', but must be a number of tokens"):
        read_answers(str(saved / "base.jsonl"))


def test_without_generated_answers_one_line_names_the_mend():
    row = SymptomRow(name="loops", family="x", present=False, threshold=5.0, unchecked="no answers; ask for some")
    assert symptom_lines([row, row]) == ["\nSymptoms: not checked (no answers; ask for some)."]
    assert symptom_lines([]) == []
    calm = SymptomRow(name="loops", family="x", present=False, threshold=5.0, effect=0.0, p_holm=1.0)
    assert symptom_lines([calm, row]) == [
        "\nSymptoms: none of 1 that were checked.",
        "  not checked: loops (no answers; ask for some)",
    ]
