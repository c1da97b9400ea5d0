"""Runs that are measured by items: what was right before and after, in points, and what was said."""

from __future__ import annotations

import gzip
import io
import json

import pytest
from rich.console import Console

from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.files import read_jsonl
from holdfast.bench.measured.answers import read_said
from holdfast.bench.measured.preparation import omission_notes, prepare_data, template_notes
from holdfast.bench.measured.scores import read_scores
from holdfast.bench.run.record import RunRecord
from holdfast.bench.run.run import train
from holdfast.core.errors import HoldfastError
from holdfast.probes.answers import ask
from holdfast.probes.items import item_of, read_items
from holdfast.probes.sources import items_of
from holdfast.report.table import show
from tests import tiny

PROMPTS = [f"t{n} t{n + 1}" for n in range(20, 44)]
KEPT = [f"t{n} t{n + 3}" for n in range(20, 44)]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    room = tmp_path_factory.mktemp("items")
    tiny.tiny("llama", seed=0).float().save_pretrained(room / "model")
    tiny.tokenizer().save_pretrained(room / "model")
    rows = [{"prompt": f"{prompt} ", "completion": "t15"} for prompt in PROMPTS[:8]]
    items = [
        {"id": f"new-{i}", "suite": "new", "prompt": p, "check": {"exact": "t15"}} for i, p in enumerate(PROMPTS[8:])
    ]
    kept = [
        *({"id": f"a-{i}", "suite": "old", "prompt": p, "check": {"lacks": "t15"}} for i, p in enumerate(KEPT)),
        *(
            {"id": f"b-{i}", "suite": "pairs", "group": f"g{i % 4}", "choices": [p, f"{p} t60"]}
            for i, p in enumerate(KEPT)
        ),
        *({"id": f"c-{i}", "suite": "texts", "text": f"{p} t61 t62"} for i, p in enumerate(KEPT)),
    ]
    for name, records in (("rows", rows), ("new", items), ("kept", kept)):
        (room / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return room


def spec(room, out, **changes):
    fields = {
        "model": str(room / "model"), "data": str(room / "rows.jsonl"), "test": str(room / "new.jsonl"),
        "keep": (str(room / "kept.jsonl"),), "recipe": "Train(lr=0.01, epochs=40)", "out": str(out), "name": "run",
        "training": {"lr_scheduler_type": "constant"},
    }  # fmt: skip
    return RunSpec(**{**fields, **changes})


@pytest.fixture(scope="module")
def done(room, tmp_path_factory):
    return train(spec(room, tmp_path_factory.mktemp("runs")), Console(quiet=True))


def test_its_record_holds_the_symptoms_of_its_answers(done):
    rows = {row.name: row for row in done.record.symptoms}
    assert rows["training outputs"].unchecked is None  # the training data are at hand
    assert rows["training outputs"].answers == 24
    assert rows["unended answers"].unchecked is None
    assert rows["capability cliff"].unchecked is None
    assert rows["training form"].unchecked is None
    again = RunRecord.read(done.folder)
    assert again.symptoms == done.record.symptoms
    out = Console(record=True, file=io.StringIO(), width=200)
    show(done, out)
    assert "Symptoms: " in out.export_text()


def test_each_suite_of_a_file_is_a_row_in_its_own_unit(done):
    rows = {row.name: row for row in done.record.suites}
    assert list(rows) == ["task", "old", "pairs", "texts"]
    assert [rows[name].unit for name in rows] == ["points", "points", "points", "nats"]
    assert [rows[name].items for name in rows] == [16, 24, 24, 24]
    assert rows["pairs"].groups == 4
    assert rows["task"].role == "learned"
    assert rows["task"].tokens is None
    assert rows["texts"].tokens >= 24 * 3


def test_learning_and_losing_are_points_of_right_answers(done):
    rows = {row.name: row for row in done.record.suites}
    assert rows["task"].before == 0.0
    assert rows["task"].after > 20
    assert rows["old"].before == 100.0
    assert rows["old"].change < -20


def test_scores_are_what_the_saved_model_answers(done, room):
    items = read_items(room / "kept.jsonl")
    model, tokenizer = load_model(str(done.folder / "model")), load_tokenizer(str(done.folder / "model"))
    after = {row.item: row for row in read_scores(done.folder / "scores.jsonl")["after"]}
    said = {row["item"]: row for row in read_jsonl(done.folder / "answers.jsonl") if row["moment"] == "after"}
    for answer in ask(model, tokenizer, items):
        row = after[answer.item.id]
        assert (row.group, row.split) == (answer.item.group, answer.item.split)
        if answer.form == "text":
            assert row.value == pytest.approx(answer.nats, abs=1e-4)
            assert (row.weight, row.higher_is_better, row.unit) == (answer.tokens, False, "nats")
            assert answer.item.id not in said
        else:
            assert row.value == 100 * answer.value
            assert row.choices == (2 if answer.form == "choice" else 0)
            assert (row.weight, row.higher_is_better, row.unit) == (1.0, True, "points")
            assert said[answer.item.id]["said"] == answer.said
            assert said[answer.item.id]["asked"] == (answer.item.turns[-1].content if answer.item.turns else "")


def test_the_record_has_the_calibration_of_the_choices(done):
    (suite,) = done.record.calibration.suites
    assert (suite.name, suite.items, suite.groups) == ("pairs", 24, 4)
    assert suite.ece is None  # fewer than the least number of items
    rows = read_jsonl(done.folder / "answers.jsonl")
    for moment in ("before", "after"):
        terms = [row["brier"] for row in rows if row["moment"] == moment and row["suite"] == "pairs"]
        assert getattr(suite.brier, moment).value == pytest.approx(sum(terms) / 24)
    assert RunRecord.read(done.folder).calibration == done.record.calibration


def test_showing_a_run_draws_its_diagram(done):
    console = Console(width=80, file=io.StringIO())
    show(done, console)
    (suite,) = done.record.calibration.suites
    text = console.file.getvalue()
    assert f"Brier score {suite.brier.before.value:.3f}" in " ".join(text.split())
    assert f"Diagram: {done.folder}/reliability.svg" in text
    assert "pairs: 24 items" in (done.folder / "reliability.svg").read_text()


def test_the_saved_answers_of_a_run_are_read_with_their_confidence(done, tmp_path):
    (suite,) = done.record.calibration.suites
    for moment in ("before", "after"):
        said = [answer for answer in read_said(done.folder / "answers.jsonl", moment) if answer.suite == "pairs"]
        assert sum(answer.brier for answer in said) / 24 == pytest.approx(getattr(suite.brier, moment).value)
        assert all(0.5 <= answer.confidence <= 1 for answer in said)
    assert read_said(tmp_path / "answers.jsonl", "before") == ()


def test_an_item_that_is_learned_word_for_word_is_left_out(room, tmp_path):
    told = {"id": "told", "suite": "new", "prompt": f"{PROMPTS[0]} ", "check": {"exact": "t15"}}
    path = tmp_path / "new.jsonl"
    path.write_text((room / "new.jsonl").read_text() + json.dumps(told) + "\n")
    console = Console(width=200, file=io.StringIO())
    found = train(spec(room, tmp_path / "runs", test=str(path), keep=()), console)
    assert found.record.suites[0].items == 16
    assert "1 of 17 items are among the rows to learn and left out of" in console.file.getvalue()


def test_two_sources_of_one_suite_are_refused(room, tmp_path):
    twice = (str(room / "kept.jsonl"), str(room / "new.jsonl").replace("new", "kept"))
    with pytest.raises(HoldfastError, match="another suite is called 'old'"):
        train(spec(room, tmp_path, keep=twice), Console(quiet=True))


def test_a_malformed_item_is_named_by_line_and_field(room, tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text(
        '{"id": "a", "suite": "s", "text": "t1 t2"}\n{"id": "b", "suite": "s", "check": {"contians": "x"}}\n'
    )
    with pytest.raises(HoldfastError, match=r"items\.jsonl:2: field 'check\.contians' is not a marker"):
        train(spec(room, tmp_path, keep=(str(path),)), Console(quiet=True))


JUDGED = {"on_spent": "log"}
GUARDED = {"points": 10, "every": 2}


def test_a_budget_gives_a_verdict_and_its_exit_code(room, tmp_path):
    broken = train(spec(room, tmp_path, name="broken", budget={"points": 2, **JUDGED}), Console(quiet=True))
    assert (broken.record.verdict.word, broken.exit_code) == ("forgot", 2)
    assert broken.record.verdict.suites.keys() == {"old", "pairs"}
    assert broken.record.verdict.unjudged == ("texts",)
    recipe = "Train(lr=1e-9, epochs=1)"
    said = Console(file=io.StringIO(), width=500)
    unsettled = train(spec(room, tmp_path, name="few", recipe=recipe, budget={"points": 2}), said)
    assert "The kept items can prove a loss of at most" in said.file.getvalue()
    assert (unsettled.record.verdict.word, unsettled.exit_code) == ("not enough evidence", 3)
    # What is finished is only read, and ends the same.
    again = train(
        spec(room, tmp_path, name="broken", budget={"points": 90, **JUDGED}, resume=True), Console(quiet=True)
    )
    assert again.exit_code == 0
    again = train(spec(room, tmp_path, name="broken", budget={"points": 2, **JUDGED}), Console(quiet=True))
    assert again.exit_code == 2
    kept = train(spec(room, tmp_path, name="kept", recipe=recipe, budget={"nll": 0.1}), Console(quiet=True))
    assert kept.exit_code == 0


def test_a_run_that_was_put_back_to_its_start_is_kept_and_has_learned_nothing(room, tmp_path, capsys, monkeypatch):
    """It ends with 4 and not with 0, in its result, and again when the finished run is only read."""
    monkeypatch.setattr("holdfast.train.pulling.PULLS", 0)
    changes = {"recipe": "Train(lr=0.03, epochs=40)", "budget": {"nll": 0.1, "every": 40}}
    found = train(spec(room, tmp_path, **changes), Console(quiet=True))
    assert found.record.guard.model_of == 0, found.record.guard.looks
    assert found.record.verdict.word == "kept"
    learned = found.record.learned
    assert (learned.word, learned.put_back_to, learned.units[0].gain) == ("not learned", "start", 0.0)
    assert learned.units[0].reached > 20
    assert found.exit_code == 4
    assert RunRecord.read(found.folder).learned == learned
    again = train(spec(room, tmp_path, **changes), Console(quiet=True))
    assert (again.exit_code, again.record.learned) == (4, learned)
    show(found)
    assert "Learning: not learned (task: +0.0" in " ".join(capsys.readouterr().out.split())


def test_what_was_learned_is_said_without_a_budget_too(done):
    learned = done.record.learned
    (row,) = (row for row in done.record.suites if row.name == "task")
    assert learned.word == "learned"
    assert (learned.units[0].gain, learned.units[0].low, learned.units[0].high) == (row.change, row.low, row.high)
    assert done.exit_code == 0


@pytest.fixture(scope="module")
def rewound(room, tmp_path_factory):
    out = tmp_path_factory.mktemp("rewound")
    console = Console(width=200, file=io.StringIO())
    found = train(spec(room, out, name="guarded", budget=GUARDED), console)
    return found, console.file.getvalue()


def test_a_guard_keeps_a_run_inside_its_budget(room, rewound, done):
    found, said = rewound
    guard = found.record.guard
    watched = [item for item in read_items(room / "kept.jsonl") if item.suite != "texts" and item.split == "watch"]
    assert f"The guard watches {len(watched)} of the 48 items and texts to keep" in said
    assert guard.spent_at
    assert guard.sentence.count("Budget(") == guard.sentence.count("Rehearsal(") == 0, "its reader gave flags"
    assert all(look.points_lost <= GUARDED["points"] for look in guard.looks if look.step == guard.model_of)
    lost = {row.name: -row.change for row in found.record.suites}
    plainly = {row.name: -row.change for row in done.record.suites}
    assert lost["old"] < plainly["old"]
    model, tokenizer = load_model(str(found.folder / "model")), load_tokenizer(str(found.folder / "model"))
    proof = [item for item in read_items(room / "kept.jsonl") if item.suite == "old" and item.split == "proof"]
    right = [answer.value for answer in ask(model, tokenizer, proof)]
    assert lost["old"] == pytest.approx(100 * (1 - sum(right) / len(right))), (
        "the model that is saved is the one judged"
    )


def test_what_steered_a_run_is_left_out_of_its_verdict(room, rewound):
    found, _ = rewound
    items = [*read_items(room / "kept.jsonl"), *read_items(room / "new.jsonl")]
    proof = {name: sum(i.suite == name and i.split == "proof" for i in items) for name in ("old", "new", "texts")}
    rows = {row.name: row.items for row in found.record.suites}
    assert found.record.guard.watched == tuple(sorted({"old", "pairs", "task"} & {*found.record.guard.watched}))
    assert {"old", "task"} <= set(found.record.guard.watched)
    assert (rows["old"], rows["task"]) == (proof["old"], proof["new"])
    assert rows["texts"] == 24, "what has no limit is not watched"
    scores = [row for row in read_scores(found.folder / "scores.jsonl")["after"] if row.suite == "old"]
    assert len(scores) == 24, "the scores of all are kept"


def test_a_run_whose_guard_acts_is_another_run_under_another_budget(room, rewound):
    found, _ = rewound
    out = found.folder.parent
    again = train(spec(room, out, name="guarded", budget=GUARDED), Console(quiet=True))
    assert again.record.suites == found.record.suites
    for budget in ({"points": 30, "every": 2}, {"points": 10, **JUDGED}, {}):
        with pytest.raises(HoldfastError, match="holds a run with another budget"):
            train(spec(room, out, name="guarded", budget=budget), Console(quiet=True))


def test_with_one_side_only_nothing_is_watched(room, tmp_path):
    proof = [item for item in read_items(room / "kept.jsonl") if item.split == "proof"]
    path = tmp_path / "proof.jsonl"
    path.write_text("".join(json.dumps(item.to_dict()) + "\n" for item in proof))
    console = Console(width=200, file=io.StringIO())
    changes = {"keep": (str(path),), "recipe": "Train(lr=0.01, epochs=1)", "budget": {"points": 2}}
    found = train(spec(room, tmp_path / "runs", **changes), console)
    assert found.record.guard is None
    assert "No suite has items for both guard and verdict: old (" in console.file.getvalue()
    assert "No guard watches the training" in console.file.getvalue()
    assert {row.name: row.items for row in found.record.suites}["task"] == 16


def test_a_budget_of_what_is_not_measured_stops_before_training(room, tmp_path):
    with pytest.raises(HoldfastError, match="limits none of the measured units"):
        train(spec(room, tmp_path, keep=(), budget={"nll": 2}), Console(quiet=True))
    assert not list(tmp_path.iterdir())
    with pytest.raises(HoldfastError, match="Did you mean 'points'"):
        spec(room, tmp_path, budget={"point": 2})


ITEMS = [{"id": f"{i}", "suite": "s", "prompt": p, "check": {"lacks": "t15"}} for i, p in enumerate(KEPT[:6])]


@pytest.mark.parametrize("ending", [".jsonl", ".ndjson", ".json", ".jsonl.gz", ".bom.jsonl"])
def test_questions_are_asked_whatever_the_file_of_json(room, tmp_path, ending):
    path = tmp_path / f"items{ending}"
    text = json.dumps(ITEMS) if ending == ".json" else "".join(json.dumps(item) + "\n" for item in ITEMS)
    data = ("\ufeff" * (ending == ".bom.jsonl") + text).encode()
    path.write_bytes(gzip.compress(data) if ending.endswith(".gz") else data)
    (found,) = prepare_data(spec(room, tmp_path, test=None, held_out=0.0, keep=(str(path),)), tiny.tokenizer()).suites
    assert (found.name, len(found.items), found.units()) == ("s", 6, {"points"})


def test_a_question_without_an_id_is_named_and_not_taken_for_a_text(room, tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text(json.dumps({"suite": "s", "prompt": "t3", "answer": "t4", "check": {"exact": "t4"}}) + "\n")
    with pytest.raises(HoldfastError, match=r"items\.jsonl:1: field 'id' is missing"):
        train(spec(room, tmp_path, keep=(str(path),)), Console(quiet=True))
    path.write_text(json.dumps({"prompt": "t3", "completion": "t4", "choices": ["a", "b"]}) + "\n")
    assert items_of(str(path)) is None  # a row with a column more


def test_a_suite_of_questions_and_texts_is_refused(room, tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in [*ITEMS, {"id": "x", "suite": "s", "text": "t1 t2"}]))
    with pytest.raises(HoldfastError, match="the suite 's' has questions, which count in points, and texts"):
        train(spec(room, tmp_path, keep=(str(path),)), Console(quiet=True))


def test_what_of_questions_a_template_does_not_write_is_said_with_its_count(room, tmp_path):
    path = tmp_path / "items.jsonl"
    tool = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
    asked = [{**ITEMS[0], "tools": [tool]}, {**ITEMS[1], "tools": [tool]}, *ITEMS[2:]]
    path.write_text("".join(json.dumps(item) + "\n" for item in asked))
    given, words = spec(room, tmp_path, test=None, held_out=0.0, keep=(str(path),)), tiny.tokenizer()
    tools = "In 2 of 6 questions, the tools are not in the prompt, because "
    assert f"{tools}no chat template is used." in prepare_data(given, words).notes
    words.chat_template = "{% for m in messages %}t9 {{ m.content }} {% endfor %}"
    assert f"{tools}the chat template does not read them." in prepare_data(given, words).notes
    words.chat_template = "{{ tools | tojson if tools }} " + words.chat_template
    assert not any("tools" in note for note in prepare_data(given, words).notes)


@pytest.mark.parametrize("order", [1, -1])
def test_a_file_of_texts_that_is_called_as_a_suite_is_refused_in_either_order(room, tmp_path, order):
    (tmp_path / "old.txt").write_text("t1 t2 t3\n\nt4 t5 t6\n")
    keep = (str(room / "kept.jsonl"), str(tmp_path / "old.txt"))[::order]
    with pytest.raises(HoldfastError, match="another suite is called 'old'"):
        train(spec(room, tmp_path, keep=keep), Console(quiet=True))


def test_items_of_one_id_in_two_suites_of_the_task_stay_apart(room, tmp_path):
    path = tmp_path / "two.jsonl"
    two = [{**ITEMS[0], "suite": suite, "prompt": p} for suite, p in (("a", "t30 t31"), ("b", "t32 t33"))]
    path.write_text("".join(json.dumps(item) + "\n" for item in two))
    (task, *_) = prepare_data(spec(room, tmp_path, test=str(path)), tiny.tokenizer()).suites
    assert [item.id for item in task.items] == ["a/0", "b/0"]


def test_what_is_mended_before_anything_was_measured_leaves_no_folder(room, tmp_path):
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({**ITEMS[0], "prompt": "t3 " * 3000}) + "\n")
    with pytest.raises(HoldfastError, match="tokens"):
        train(spec(room, tmp_path / "runs", keep=(str(path),)), Console(quiet=True))
    assert not (tmp_path / "runs").exists()


def test_a_home_in_out_is_one_place(tmp_path, monkeypatch, room):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert spec(room, "~/runs").out == str(tmp_path / "runs")


def test_how_many_questions_are_put_in_their_plain_wording_is_told():
    tool = {"type": "function", "function": {"name": "add", "parameters": {}}}
    record = {"suite": "s", "prompt": "Add 1 and 2.", "check": {"any": "3"}, "tools": [tool]}
    asked = [item_of({**record, "id": "a", "plain": "1 + 2 ="}, "x:1"), item_of({**record, "id": "b"}, "x:2")]
    (said,) = template_notes(asked, tiny.tokenizer(), raw=True)
    assert said == (
        "No chat template is used: 2 questions are asked unchanged (1 in the wording of their field 'plain');"
        " an answer ends with its first line where the item has no 'stop' (2)."
    )
    (lacks,) = omission_notes(asked, tiny.tokenizer(), raw=True)
    assert lacks.startswith("In 1 of 2 questions, ")
    assert omission_notes(asked[:1], tiny.tokenizer(), raw=True) == []
