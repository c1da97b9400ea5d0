"""Two models, or the answers of two: what changed, what was lost, and how the program ends."""

from __future__ import annotations

import dataclasses
import json

import peft
import pytest
from rich.console import Console

from holdfast.bench.diff.diff import diff
from holdfast.bench.diff.diff_record import DiffRecord, DriftRow, ExampleRows
from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.bench.given.specs import DiffSpec
from holdfast.bench.measured.answers import is_saved, read_answers
from holdfast.bench.measured.outcome import Learning
from holdfast.bench.measured.verdict import verdict
from holdfast.cli.main import main
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.probes.answers import ask
from holdfast.probes.calibration import calibration
from holdfast.probes.changes import changes as compared
from holdfast.probes.items import read_items
from holdfast.probes.score import Score
from holdfast.stats.size import drift_size
from tests import tiny

ITEMS = [f"t{n} t{n + 3}" for n in range(20, 60)]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A base, one that answers as it does, one that does not, an adapter on the base, and suites."""
    room = tmp_path_factory.mktemp("pair")
    for name, seed in (("base", 0), ("same", 0), ("other", 1)):
        tiny.tiny("llama", seed=seed).float().save_pretrained(room / name)
        tiny.tokenizer().save_pretrained(room / name)
    model = peft.get_peft_model(load_model(str(room / "base")), peft.LoraConfig(r=2, target_modules=["q_proj"]))
    model.save_pretrained(room / "adapter")
    model, tokenizer = load_model(str(room / "base")), load_tokenizer(str(room / "base"))
    asked = [{"id": f"a-{i}", "suite": "old", "prompt": p, "check": {"lacks": "nothing"}} for i, p in enumerate(ITEMS)]
    (room / "ask.jsonl").write_text("".join(json.dumps(one) + "\n" for one in asked))
    said = ask(model, tokenizer, read_items(room / "ask.jsonl"))
    # What the base says is right, so that whatever moves it is a loss.
    old = [{**one, "check": {"exact": answer.said}} for one, answer in zip(asked, said, strict=True)]
    texts = [{"id": f"c-{i}", "suite": "texts", "text": f"{p} t61 t62"} for i, p in enumerate(ITEMS)]
    for name, records in (("kept", [*old, *texts]), ("few", old[:3]), ("old", old)):
        (room / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return room


def spec(room, tuned, **changes):
    given = {"base": str(room / "base"), "tuned": str(room / tuned), "keep": (str(room / "kept.jsonl"),), **changes}
    return DiffSpec(**given)


def go(given):
    return diff(given, Console(quiet=True))


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("out") / "d"


@pytest.fixture(scope="module")
def forgot(room, out):
    return go(spec(room, "other", budget={"points": 2, "nll": 0.5}, out=str(out)))


def test_a_model_that_answers_otherwise_forgot(forgot):
    rows = {row.name: row for row in forgot.suites}
    assert rows["old"].before == 100.0
    assert rows["old"].change < -20
    assert rows["old"].answers_lost > 8
    assert (forgot.verdict.word, forgot.exit_code) == ("forgot", 2)
    told = forgot.forgetting["old"]
    assert told.negative_flips == rows["old"].answers_lost / 40
    assert told.of_known == told.of_right
    assert forgot.drift["general"].nats_per_token > 0.01
    assert "task" not in forgot.drift


def test_lost_answers_are_shown_with_what_was_said(forgot, room):
    (first, *rest) = forgot.examples.lost
    assert len(rest) == 2
    assert (first.suite, first.asked) == ("old", ITEMS[int(first.item.removeprefix("a-"))])
    assert first.before != first.after
    assert go(spec(room, "other", examples=0)).examples == ExampleRows(lost=(), gained=())
    assert len(go(spec(room, "other", examples=5)).examples.lost) == 5


def test_the_same_model_is_kept_and_does_not_drift(room):
    done = go(spec(room, "same", budget={"points": 12, "nll": 0.01}, test=str(room / "few.jsonl")))
    assert (done.verdict.word, done.exit_code) == ("kept", 0)
    assert {row.change for row in done.suites} == {0.0}
    assert [row.role for row in done.suites] == ["learned", "retained", "retained"]
    for name in ("task", "general"):
        assert done.drift[name].nats_per_token == pytest.approx(0, abs=1e-9)


def test_three_items_say_too_little(room):
    done = go(spec(room, "same", keep=(str(room / "few.jsonl"),), budget={"points": 2}))
    assert (done.verdict.word, done.exit_code) == ("not enough evidence", 3)


def test_what_is_kept_and_learned_nothing_ends_with_four(room, tmp_path, capsys):
    """Where --test measures it; a merge that only stops for a loss goes through."""
    texts = [{"id": f"c-{i}", "suite": "new", "text": f"{p} t61 t62"} for i, p in enumerate(ITEMS)]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(record) + "\n" for record in texts))
    given = {"keep": (str(room / "old.jsonl"),), "budget": {"points": 12}}
    done = go(spec(room, "same", **given, test=str(tmp_path / "new.jsonl")))
    assert (done.verdict.word, done.learned.word, done.exit_code) == (
        "kept",
        "not learned",
        4,
    )
    assert go(spec(room, "same", **given)).learned == Learning(word="not measured", units=())
    assert go(spec(room, "same", **given)).exit_code == 0
    words = ["diff", str(room / "base"), str(room / "same"), "--keep", given["keep"][0], "--budget", "points=12"]
    words += ["--test", str(tmp_path / "new.jsonl")]
    assert main(words) == 4
    assert "Learning: not learned (task: " in " ".join(capsys.readouterr().out.split())
    assert main([*words, "--fail-on", "forgot"]) == 0


def test_guessing_is_taken_out_by_the_choices_of_each_item_and_it_is_shown(room, tmp_path, capsys):
    choices = [
        {
            "id": f"d-{i}",
            "suite": "pick",
            "prompt": p,
            "choices": [f"t{21 + i}", f"t{22 + i}", f"t{24 + i}"][: 2 + i % 2],
        }
        for i, p in enumerate(ITEMS)
    ]
    (tmp_path / "pick.jsonl").write_text("".join(json.dumps(one) + "\n" for one in choices))
    given = spec(room, "other", keep=(str(tmp_path / "pick.jsonl"), str(room / "old.jsonl")), out=str(tmp_path / "out"))
    done = go(given)
    rows = [json.loads(line) for line in (tmp_path / "out" / "base.jsonl").read_text().splitlines()]
    assert {row["choices"] for row in rows if row["suite"] == "pick"} == {2, 3}
    assert {row["choices"] for row in rows if row["suite"] == "old"} == {0}
    now = {row["item"]: row["value"] for row in map(json.loads, (tmp_path / "out" / "tuned.jsonl").open())}
    lost = 0.0
    for count in (2, 3):
        own = [(row["value"] / 100, now[row["item"]] / 100) for row in rows if row["choices"] == count]
        before, after = (sum(pair[i] for pair in own) / len(own) for i in (0, 1))
        lost += sum(a > b for a, b in own) - len(own) * (1 - before) * (1 - after) / (count - 1)
    told = done.forgetting
    assert told["pick"].lost_share == pytest.approx(max(0.0, lost / 40))
    assert told["old"].lost_share == told["old"].negative_flips
    words = ["diff", str(tmp_path / "out" / "base.jsonl"), str(tmp_path / "out" / "tuned.jsonl")]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert f"old: {100 * told['old'].lost_share:.1f} of {100 * told['old'].known_share:.1f} points" in out
    for name in ("base", "tuned"):  # as an older version left them
        path = tmp_path / "out" / f"{name}.jsonl"
        old = [{k: v for k, v in json.loads(line).items() if k != "choices"} for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in old))
    older = go(DiffSpec(base=words[1], tuned=words[2])).forgetting["pick"]
    assert older.lost_share is None
    assert older.negative_flips == told["pick"].negative_flips


def test_samples_of_lm_eval_say_how_many_choices_there_were(tmp_path):
    path = tmp_path / "samples_arc.jsonl"
    rows = [
        {"doc_id": i, "acc": 1.0, "arguments": [["Q", f" {c}"] for c in range(n)], "resps": resps}
        for i, (n, resps) in enumerate(
            [(4, [[[-1.0, False]]] * 4), (3, [[[-1.0, False]]] * 3), (1, [["said"]]), (1, [[[-1.0, True]]])]
        )
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [row.choices for row in read_answers(str(path)).scores] == [4, 3, 0, None]


def test_a_drift_says_how_large_it_is(forgot, capsys):
    from holdfast.report.diff import show

    drift = forgot.drift["general"]
    assert drift.size == drift_size(drift.nats_per_token)
    far = {"general": DriftRow(nats_per_token=6.0, size="large", documents=1)}
    show(dataclasses.replace(forgot, drift=far))
    out = " ".join(capsys.readouterr().out.split())
    assert "on general prompts 6.0000, large: a token that the base would write is 403 times less likely" in out


def test_without_a_budget_there_is_no_verdict(room):
    done = go(spec(room, "other"))
    assert done.verdict is None
    assert done.exit_code == 0


def test_an_adapter_is_compared_on_its_base(room):
    done = go(spec(room, "adapter", budget={"points": 12}))  # Fresh: it changes nothing yet.
    assert done.exit_code == 0
    assert done.drift["general"].nats_per_token == pytest.approx(0, abs=1e-9)


def test_saved_answers_say_the_same_and_load_no_model(forgot, out, monkeypatch):
    monkeypatch.setattr("holdfast.bench.diff.diff.load_asked", lambda name: pytest.fail("a model was loaded"))
    again = go(
        DiffSpec(base=f"{out}/base.jsonl", tuned=f"{out}/tuned.jsonl", budget={"points": 2, "nll": 0.5}, examples=3)
    )
    for what in ("suites", "verdict", "forgetting", "examples"):
        assert getattr(again, what) == getattr(forgot, what)
    assert again.drift is None
    assert DiffRecord.read(out) == forgot
    assert json.loads((out / "diff.json").read_text()) == forgot.to_dict()


@pytest.mark.parametrize(("field", "count"), [("asked", 5), ("right", 5), ("said", 0)])
def test_saved_answers_to_other_questions_of_the_same_names_are_not_paired(out, tmp_path, capsys, forgot, field, count):
    """A file of items that was changed between two diffs keeps the names of its items."""
    rows = [json.loads(line) for line in (out / "tuned.jsonl").read_text().splitlines()]
    asked = [row for row in rows if row["suite"] == "old"]
    for row in rows:
        row["right"] = "t20"
    for row in asked[:5]:
        row[field] = "t21"
    base = [json.loads(line) | {"right": "t20"} for line in (out / "base.jsonl").read_text().splitlines()]
    for name, lines in (("base", base), ("tuned", rows)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    done = diff(
        DiffSpec(base=f"{tmp_path}/base.jsonl", tuned=f"{tmp_path}/tuned.jsonl"), Console(stderr=True, width=500)
    )
    assert {row.name: row.items for row in done.suites} == {"old": len(asked) - count, "texts": 40}
    assert ("5 items have another question or right answer in the two files" in capsys.readouterr().err) == bool(count)
    if field == "asked":
        for name, lines in (("base", base), ("tuned", rows)):
            only = [row for row in lines if row["item"] in {one["item"] for one in asked[:5]}]
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in only))
        with pytest.raises(HoldfastError, match="All 5 items have another question"):
            go(DiffSpec(base=f"{tmp_path}/base.jsonl", tuned=f"{tmp_path}/tuned.jsonl"))


def test_what_the_tuned_model_was_trained_on_is_not_judged(room, tmp_path):
    trained = [{"prompt": ITEMS[0], "completion": "t15"}]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in trained))
    done = go(spec(room, "same", data=str(tmp_path / "data.jsonl")))
    whole = go(spec(room, "same"))
    sizes = [{row.name: row.items for row in record.suites}["old"] for record in (done, whole)]
    assert sizes[0] == sizes[1] - 1


def test_a_model_and_a_file_cannot_be_compared(forgot, room, out):
    with pytest.raises(HoldfastError, match="one is a model and one a file of answers"):
        go(spec(room, f"{out}/tuned.jsonl"))
    with pytest.raises(HoldfastError, match=r"old\.jsonl is not asked: both files of answers bring their suites"):
        go(DiffSpec(base=f"{out}/base.jsonl", tuned=f"{out}/tuned.jsonl", keep=(str(room / "old.jsonl"),)))
    with pytest.raises(HoldfastError, match="limits none of the measured units"):
        go(spec(room, "same", keep=(str(room / "old.jsonl"),), budget={"nll": 1.0}))


@pytest.mark.parametrize(("tuned", "fail_on", "code"), [("other", "unsettled", 2), ("other", "forgot", 2),
                                                        ("same", "unsettled", 3), ("same", "forgot", 0)])  # fmt: skip
def test_the_program_ends_as_it_is_told_to(room, capsys, tuned, fail_on, code):
    keep = room / ("old.jsonl" if tuned == "other" else "few.jsonl")
    words = ["diff", str(room / "base"), str(room / tuned), "--keep", str(keep), "--budget", "points=2"]
    assert main([*words, "--fail-on", fail_on]) == code
    out = capsys.readouterr().out
    assert ("Verdict: forgot" if code == 2 else "Verdict: not enough evidence") in out
    if tuned == "other":
        assert "answers lost, for example:" in out
        assert "Drift, KL(base || tuned) in nats per token:" in out


def test_json_is_for_programs(room, capsys):
    words = ["diff", str(room / "base"), str(room / "other"), "--keep", str(room / "old.jsonl"), "--budget", "points=2"]
    assert main([*words, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["verdict"]["word"] == "forgot"
    assert main(["diff", str(room / "base"), str(room / "same"), "--keep", str(room / "old.jsonl")]) == 0
    assert "no verdict without a budget" in capsys.readouterr().out
    assert main(["diff", "a.jsonl", "b.jsonl", "--fail-on", "forgot"]) == 1
    assert "--fail-on forgot needs a budget" in capsys.readouterr().err


@pytest.fixture(scope="module")
def pick(room):
    """Eighty choices in forty groups."""
    choices = [
        {"id": f"d-{i}", "suite": "pick", "group": f"g{i // 2}", "prompt": p, "choices": [f"t{20 + i}", f"t{21 + i}"]}
        for i, p in enumerate([*ITEMS, *ITEMS])
    ]
    path = room / "pick.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in choices))
    return path


def test_calibration_is_compared_over_the_choices_asked_and_saved(room, pick, tmp_path, capsys):
    asked = go(spec(room, "other", keep=(str(pick),), out=str(tmp_path / "out"))).calibration
    (suite,) = asked.suites
    for moment, name in (("before", "base"), ("after", "other")):
        answers = ask(load_model(str(room / name)), load_tokenizer(str(room / name)), read_items(pick))
        known = calibration(answers)
        assert getattr(suite.ece, moment).value == pytest.approx(known.ece, abs=1e-6)
        assert getattr(suite.brier, moment).value == pytest.approx(known.brier, abs=1e-6)
    assert (suite.items, suite.groups) == (80, 40)
    assert suite.brier.change.low < suite.brier.change.value < suite.brier.change.high
    words = ["diff", str(tmp_path / "out" / "base.jsonl"), str(tmp_path / "out" / "tuned.jsonl")]
    assert main([*words, "--out", str(tmp_path / "again")]) == 0
    assert f"Brier score {suite.brier.before.value:.3f}" in " ".join(capsys.readouterr().out.split())
    assert DiffRecord.read(tmp_path / "again").calibration == asked
    assert "pick: 80 items" in (tmp_path / "again" / "reliability.svg").read_text()
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["calibration"] == asked.to_dict()
    broken = (tmp_path / "out" / "base.jsonl").read_text().replace('"confidence": 0', '"confidence": 7', 1)
    (tmp_path / "out" / "base.jsonl").write_text(broken)
    assert main(words) == 1
    assert "field 'confidence' is 7" in capsys.readouterr().err


def test_there_is_no_calibration_without_choices(room, tmp_path, capsys):
    words = ["diff", str(room / "base"), str(room / "same"), "--keep", str(room / "few.jsonl"), "--out", str(tmp_path)]
    assert main(words) == 0
    assert "alibration" not in capsys.readouterr().out
    assert DiffRecord.read(tmp_path).calibration is None
    assert not (tmp_path / "reliability.svg").exists()


def test_a_comparison_has_nothing_to_guard(room):
    with pytest.raises(HoldfastError, match="--budget on_spent: acts only during training"):
        spec(room, "same", budget={"points": 2, "on_spent": "stop"})


# What others saved


def sample(number, value, **more):
    return {
        "doc_id": number, "doc": {"question": "?"}, "target": "4",
        "arguments": {"gen_args_0": {"arg_0": f"Question {number}", "arg_1": {"until": ["\n"]}}},
        "resps": [["so 4"]], "filtered_resps": ["4"], "filter": "strict-match", "metrics": ["exact_match"],
        "doc_hash": "x", "exact_match": value, **more,
    }  # fmt: skip


def lm_eval(folder, lost, items=200, **more):
    path = folder / "org__model" / "samples_gsm8k_2026-01-02T03-04-05.678901.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(sample(i, float(i >= lost), **more)) + "\n" for i in range(items)))
    return folder


def test_samples_of_lm_eval_are_compared_as_they_are(tmp_path):
    before, after = lm_eval(tmp_path / "before", 20), lm_eval(tmp_path / "after", 60)
    assert is_saved(str(before))
    done = go(DiffSpec(base=str(before), tuned=str(after), budget={"points": 2}))
    (row,) = done.suites
    assert (row.name, row.before, row.after, row.answers_lost) == ("gsm8k (strict-match)", 90.0, 70.0, 40)
    assert done.exit_code == 2
    (first, *_) = done.examples.lost
    assert (first.asked, first.right, first.after) == ("Question 20", "4", "4")


def test_older_samples_and_two_filters_are_read_too(tmp_path):
    path = tmp_path / "samples_arc_easy_2024-05-06T07-08-09.000001.jsonl"
    rows = [
        {"doc_id": i, "acc": 1.0, "acc_norm": 0.0, "arguments": [["Q", " A"]], "resps": [[[-1.0, False]]]}
        for i in (0, 1)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    saved = read_answers(str(path))
    assert {(row.suite, row.value) for row in saved.scores} == {("arc_easy", 100.0)}
    assert saved.said[0].asked == "Q"
    both = tmp_path / "samples_gsm8k.jsonl"
    both.write_text(
        "".join(json.dumps(sample(0, 1, filter=name)) + "\n" for name in ("strict-match", "flexible-extract"))
    )
    assert [row.suite for row in read_answers(str(both)).scores] == [
        "gsm8k (strict-match)", "gsm8k (flexible-extract)",
    ]  # fmt: skip


def test_items_that_only_one_was_asked_are_left_out_and_said(tmp_path, capsys):
    before, after = lm_eval(tmp_path / "before", 2, items=30), lm_eval(tmp_path / "after", 3, items=20)
    done = diff(DiffSpec(base=str(before), tuned=str(after)))
    assert done.suites[0].items == 20
    assert "10 items were asked of only one model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"doc_id": 1, "metrics": ["word_perplexity"], "word_perplexity": 12.5}, r":1: no metric from 0 to 1"),
        ({"doc_id": 1, "metrics": ["acc"], "acc": 7}, r"\(acc: 7\)"),
        ({"suite": "a"}, r":1: Missing|Missing in .*:1"),
        ({}, "Missing"),
    ],
)
def test_a_line_that_is_no_answer_is_named(tmp_path, line, said):
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps(line) + "\n")
    with pytest.raises(HoldfastError, match=said):
        read_answers(str(path))


def test_answers_that_are_there_twice_or_not_at_all_are_refused(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps(sample(0, 1.0)) + "\n" + json.dumps(sample(0, 0.0)) + "\n")
    with pytest.raises(HoldfastError, match=r"jsonl:2: .*/0 is also at .*jsonl:1;"):
        read_answers(str(path))
    path.write_text("")
    with pytest.raises(HoldfastError, match="holds no answers"):
        read_answers(str(path))
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    one.write_text(json.dumps(sample(0, 1.0)) + "\n")
    other.write_text(json.dumps(sample(1, 1.0)) + "\n")
    with pytest.raises(HoldfastError, match="no item in common"):
        go(DiffSpec(base=str(one), tuned=str(other)))


def test_samples_that_are_true_or_false_are_points_and_tasks_without_points_are_left_out(tmp_path, caplog):
    folder = lm_eval(tmp_path / "before", 2, items=3)
    beside = folder / "org__model"
    rows = [{"doc_id": i, "metrics": ["prompt_level_strict_acc"], "prompt_level_strict_acc": i > 0} for i in range(3)]
    (beside / "samples_ifeval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    wiki = {"doc_id": 0, "metrics": ["word_perplexity"], "word_perplexity": 12.5}
    (beside / "samples_wikitext.jsonl").write_text(json.dumps(wiki) + "\n")
    found = read_answers(str(folder)).scores
    assert [row.value for row in found if row.suite == "ifeval"] == [0.0, 100.0, 100.0]
    assert {row.suite for row in found} == {"gsm8k (strict-match)", "ifeval"}
    assert (
        "samples_wikitext.jsonl:1: no metric from 0 to 1 (word_perplexity: lower is better): left out." in caplog.text
    )


@pytest.mark.parametrize("metrics", [5, "acc", None, []])
def test_metrics_that_are_no_list_are_looked_for(tmp_path, metrics):
    path = tmp_path / "samples_x.jsonl"
    path.write_text(json.dumps({"doc_id": 0, "metrics": metrics, "acc": 1.0}))  # no newline at the end
    assert [row.value for row in read_answers(str(path)).scores] == [100.0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"unit": "nats"}, "is measured in nats and in points; give each unit its own suite"),
        ({"higher_is_better": False}, "more points are better here, but the row says otherwise"),
        ({"value": 1500.0}, "1500 points; give percent, from 0 to 100"),
    ],
)
def test_what_cannot_be_compared_is_said(tmp_path, changes, said):
    row = Score(
        suite="s", role="retained", split="proof", item="1", group="1", value=100.0,
        unit="points", higher_is_better=True,
    )  # fmt: skip
    with pytest.raises(HoldfastError, match=rf"s/1: .*{said}"):
        compared([row], [dataclasses.replace(row, **changes)])


def test_a_suite_of_one_group_hides_no_other(tmp_path):
    """Of one group nothing is known; that is no reason to miss what another suite lost."""

    def rows(lost):
        about = {"role": "retained", "split": "proof", "unit": "points"}
        many = [
            Score(**about, suite="a", item=str(i), group=str(i), value=100.0 * (i >= lost), higher_is_better=True)
            for i in range(40)
        ]
        one = [Score(**about, suite="b", item=str(i), group="x", value=100.0, higher_is_better=True) for i in range(4)]
        return [*one, *many]

    said = verdict(compared(rows(0), rows(12)), Budget(points=2))
    assert said.word == "forgot"
    assert said.suites["b"].p_forgot == pytest.approx(0.5)
    assert said.suites["b"].floor is None
    assert json.dumps(said.to_dict(), allow_nan=False)


@pytest.mark.parametrize("order", [1, -1])
def test_a_task_with_a_sample_without_points_is_not_scored_by_the_rest(tmp_path, order):
    path = tmp_path / "samples_f1.jsonl"
    rows = [{"doc_id": i, "metrics": ["f1"], "f1": 1.7 if i == 3 else 1.0} for i in range(4)][::order]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(HoldfastError, match=r"jsonl:\d: no metric from 0 to 1 \(f1: 1.7\); give samples of"):
        read_answers(str(path))
