"""What a model was trained on is not measured, and what is learned is not kept."""

from __future__ import annotations

import json

import pytest

from holdfast.bench.given.specs import DiffSpec, RunSpec
from holdfast.bench.measured.preparation import learned_as_kept, prepare_data, read_suites
from holdfast.bench.measured.training_data import outputs_beside, trained_rows
from holdfast.core.errors import HoldfastError
from tests import tiny
from tests.bench.heal.test_heal import written

ROWS = [{"prompt": f"t{n} t{n + 1} ", "completion": "t15"} for n in range(20, 40)]


@pytest.fixture
def files(tmp_path):
    written(tmp_path / "data.jsonl", ROWS)
    written(tmp_path / "half.jsonl", [*ROWS[:10], *({"prompt": f"t{n} t50 ", "completion": "t16"} for n in range(10))])
    return tmp_path


def run_of(files, **options):
    """Writes the options of a run that trained on the data, and returns the folder of its model."""
    (files / "run" / "model").mkdir(parents=True)
    (files / "run" / "spec.json").write_text(json.dumps({"data": str(files / "data.jsonl"), **options}))
    return str(files / "run" / "model")


def test_the_trained_rows_are_those_of_the_run_that_it_did_not_hold_out(files):
    data = str(files / "data.jsonl")
    assert trained_rows("m", None, "refuse") == []
    assert len(trained_rows("m", data, "refuse")) == 20
    model = run_of(files, held_out=0.5, test=None)
    spec = RunSpec(model="m", data=data, recipe="LoRA()", held_out=0.5)
    trained = prepare_data(spec, tiny.tokenizer()).train
    assert len(trained_rows(model, None, "refuse")) == len(trained) < 20
    assert len(trained_rows(model, data, "refuse")) == 20
    assert trained_rows(run_of(files / "other", data="gone.jsonl"), None, "refuse") == []


def test_a_diff_leaves_trained_rows_out_of_what_it_judges(files):
    spec, notes = DiffSpec(base="m", tuned=run_of(files, held_out=0), keep=(str(files / "half.jsonl"),)), []
    (suite,) = read_suites(spec, tiny.tokenizer(), notes, trained_rows(spec.tuned, spec.data, spec.preference))
    assert len(suite.texts) == 10
    assert any("10 rows are also among those to learn and left out of half" in note for note in notes)


@pytest.mark.parametrize(
    ("recipe", "memory", "more"),
    [
        ("Train() + Rehearsal('old', ratio=0.05)", ["old=HALF", "unused=DATA"], 20),
        ("Train() + Rehearsal('HALF', ratio=0.05)", [], 20),
        ("auto", ["old=HALF"], 20),
        ("Train()", ["old=HALF"], 0),
        ("Train() + SelfRehearsal()", [], 0),
        ("Train() + Method(of='another package')", ["old=HALF"], 0),
        (None, None, 0),
    ],
)
def test_what_a_run_rehearsed_was_trained_on_too(files, recipe, memory, more):
    def put(text):
        return text.replace("HALF", str(files / "half.jsonl")).replace("DATA", str(files / "data.jsonl"))

    options = {
        "recipe": recipe and put(recipe),
        "resolved_recipe": "Train() + Rehearsal('old')",
        "memory": memory and [put(entry) for entry in memory],
    }
    model, notes = run_of(files, held_out=0, **options), []
    assert len(trained_rows(model, None, "refuse", notes)) == 20 + more
    assert len(trained_rows(model, str(files / "data.jsonl"), "refuse", notes)) == 20 + more
    assert notes == []


def test_old_examples_that_are_gone_are_named(files):
    model, notes = run_of(files, held_out=0, recipe="Train() + Rehearsal('old')", memory=["old=gone.jsonl"]), []
    assert len(trained_rows(model, None, "refuse", notes)) == 20
    assert notes[0].startswith("What the run rehearsed of old is not known (")


def test_data_that_are_gone_are_named(files):
    model, notes = run_of(files, held_out=0), []
    (files / "data.jsonl").unlink()
    assert trained_rows(model, None, "refuse", notes) == []
    assert notes[0].startswith("What the model was trained on is not known (")
    assert notes[0].endswith("; name it with --data.")
    assert trained_rows("m", None, "refuse", notes) == []
    assert len(notes) == 1, "a model without a run names no data"


def test_a_run_that_learned_chosen_answers_names_them_whatever_the_diff_is_told(files):
    pairs = [{"prompt": row["prompt"], "chosen": row["completion"], "rejected": "t50"} for row in ROWS]
    written(files / "data.jsonl", pairs)
    model, notes = run_of(files, held_out=0, preference="chosen"), []
    assert len(trained_rows(model, None, "refuse", notes)) == 20
    assert outputs_beside(model, "refuse", notes) == ["t15"] * 20
    assert notes == []


def test_what_measures_the_task_is_not_kept(files):
    data, half = str(files / "data.jsonl"), str(files / "half.jsonl")
    given = {"base": "m", "tuned": "t", "test": data}
    with pytest.raises(HoldfastError, match="--keep data: all of it measures what is learned too"):
        learned_as_kept(read_suites(DiffSpec(**given, keep=(data,)), tiny.tokenizer(), []))
    (note,) = learned_as_kept(read_suites(DiffSpec(**given, keep=(half,)), tiny.tokenizer(), []))
    assert note.startswith("10 of 20 of half measure what is learned too")
    with pytest.raises(HoldfastError, match="--keep data: all of it measures what is learned too"):
        prepare_data(RunSpec(model="m", data=data, recipe="LoRA()", keep=(data,)), tiny.tokenizer())


def test_conversations_without_an_answer_are_named(tmp_path):
    chats = [{"messages": [{"role": "user", "content": f"t{n} t{n + 1}"}]} for n in range(20, 40)]
    path = written(tmp_path / "chats.jsonl", chats) or str(tmp_path / "chats.jsonl")
    with pytest.raises(HoldfastError, match=r"no conversation .* turns of the assistant have; .*chats\.jsonl:\d+"):
        prepare_data(RunSpec(model="m", data=str(path), recipe="LoRA()"), tiny.tokenizer())
