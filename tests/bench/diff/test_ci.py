"""A diff in continuous integration: JUnit XML with a case for each claim, a comment, and questions of one's own."""

from __future__ import annotations

import dataclasses
import io
import json
import xml.etree.ElementTree as ET

import pytest
from rich.console import Console

from holdfast.bench.diff.ci import comment, junit
from holdfast.bench.diff.diff import diff
from holdfast.bench.diff.diff_record import AnswerRow, DiffRecord, ExampleRows
from holdfast.bench.given.specs import DiffSpec
from holdfast.bench.measured.learning import learning_of
from holdfast.bench.measured.measurement import row_of
from holdfast.bench.measured.verdict import verdict
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.probes.changes import changes
from holdfast.report.diff import show
from tests import tiny
from tests.bench.comparison import scores_of


def record_of(kept, points, name="facts", items=200, **more):
    scores = scores_of(learned=0.9, kept=kept, items=items)
    for rows in scores.values():
        rows[:] = [dataclasses.replace(row, suite=name) if row.suite == "facts" else row for row in rows]
    found = changes(scores["before"], scores["after"])
    judged = None if points is None else verdict(found, Budget(points=points))
    rows = tuple(map(row_of, found))
    empty = {"forgetting": {}, "examples": ExampleRows(lost=(), gained=()), **more}
    return DiffRecord(base="base", tuned="tuned", suites=rows, verdict=judged, **empty)


def cases(record):
    (suite,) = ET.fromstring(junit(record))
    return suite, {case.get("name"): [child.tag for child in case] for case in suite}


def test_a_model_that_forgot_fails_its_cases():
    suite, found = cases(record_of(0.5, 2))
    assert found == {
        "verdict": ["failure"], "mean of points": ["failure"], "suite facts": ["failure"], "suite sums": ["failure"],
    }  # fmt: skip
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "4", "0")
    assert "under a budget of 2 points" in suite[0][0].get("message")


def test_a_model_that_kept_passes_and_an_open_verdict_is_an_error():
    suite, found = cases(record_of(1.05, 30))
    assert {*map(tuple, found.values())} == {("system-out",)}
    assert suite.get("failures") == "0"
    suite, found = cases(record_of(1.0, 5, items=20))
    assert found["verdict"] == ["error"]
    assert suite.get("errors") == "1"
    _, found = cases(record_of(0.9, None))
    assert found == {"verdict": ["skipped"]}


@pytest.mark.parametrize(("learned", "word"), [(0.9, "learned"), (0.0, "not learned")])
def test_a_comment_says_of_a_task_what_was_learned(learned, word):
    scores = scores_of(learned=learned, kept=0.5, items=200)
    record = dataclasses.replace(record_of(0.5, 2), learned=learning_of(changes(scores["before"], scores["after"])))
    rows = [line.split(" | ") for line in comment(record).splitlines() if line.startswith("| ")]
    assert {row[0]: (row[1], row[-1]) for row in rows} == {
        "| suite": ("role", "reading |"), "| task": ("to learn", f"{word} |"), "| facts": ("to keep", "forgot |"),
        "| sums": ("to keep", "forgot |"),
    }  # fmt: skip


def test_a_comment_without_a_budget_claims_nothing():
    rows = [line for line in comment(record_of(0.5, None)).splitlines() if line.startswith("| ")][1:]
    assert all(row.endswith("|  |") for row in rows)


def test_hostile_names_make_no_element_and_mention_nobody():
    name = "a|b <script>\x00\ud800 @team `x` [l](http://e)"
    row = AnswerRow(suite=name, item="1", asked=name, right="", before=name, after="<b>\n# x")
    record = record_of(0.5, 2, name, examples=ExampleRows(lost=(row,), gained=()))
    suite, found = cases(record)
    assert any(case.startswith("suite a|b <script>\ufffd\ufffd @team") for case in found)
    assert {element.tag for element in suite.iter()} == {"testsuite", "testcase", "failure"}
    text = comment(record)
    assert text.startswith("### Holdfast: forgot\n")
    assert "a\\|b \\<script\\>" in text
    assert "@team" not in text
    assert "\n# x" not in text


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    room = tmp_path_factory.mktemp("asked")
    for name, seed in (("base", 0), ("tuned", 1)):
        tiny.tiny("llama", seed=seed).float().save_pretrained(room / name)
        tiny.tokenizer().save_pretrained(room / name)
    items = [{"id": str(n), "suite": "old", "prompt": f"t{n} t40", "check": {"lacks": "t99"}} for n in range(20, 40)]
    (room / "kept.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return room


def test_questions_alone_are_asked_of_both_and_shown_side_by_side(room):
    spec = DiffSpec(base=str(room / "base"), tuned=str(room / "tuned"), ask=("t20 t21", "t30 [bold]"))
    record = diff(spec, Console(quiet=True))
    assert record.suites == ()
    assert [row.asked for row in record.asked] == ["t20 t21", "t30 [bold]"]
    assert record.asked[0].before != record.asked[0].after
    out = io.StringIO()
    show(record, Console(file=out, width=100))
    lines = out.getvalue().splitlines()
    assert "t30 [bold]" in lines
    heading = next(line for line in lines if "base" in line and "tuned" in line)
    assert heading.index("tuned") > 40
    assert DiffRecord.from_dict(record.to_dict()) == record


def test_questions_beside_suites_and_the_files_for_a_merge(room, tmp_path):
    spec = DiffSpec(
        base=str(room / "base"), tuned=str(room / "tuned"), ask=("t20 t21",), keep=(str(room / "kept.jsonl"),),
        budget={"points": 50}, junit=str(tmp_path / "a" / "x.xml"), comment=str(tmp_path / "c.md"),
    )  # fmt: skip
    record = diff(spec, Console(quiet=True))
    assert len(record.asked) == len(record.suites) == 1
    assert (tmp_path / "a" / "x.xml").read_text() == junit(record)
    assert (tmp_path / "c.md").read_text() == comment(record)


def test_questions_alone_have_no_budget_and_need_models(room, tmp_path):
    with pytest.raises(HoldfastError, match="--budget judges suites"):
        DiffSpec(base="a", tuned="b", ask=("x",), budget={"points": 2})
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(HoldfastError, match="--ask asks models"):
        diff(DiffSpec(base=str(tmp_path / "a.jsonl"), tuned=str(room / "tuned"), ask=("x",)), Console(quiet=True))
