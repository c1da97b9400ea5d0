"""A plan from beginning to end: on the small base, on models without a template, on bad input, and its run trains."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest
from rich.console import Console

import holdfast
from holdfast.bench.given.specs import PlanSpec, RunSpec
from holdfast.bench.given.yaml_files import read_config
from holdfast.bench.plan import plan as module
from holdfast.bench.plan.answers import answers_to
from holdfast.bench.plan.facts import read_plan_inputs
from holdfast.bench.plan.plan import options_of, plan
from holdfast.bench.plan.record import PlanRecord
from holdfast.bench.plan.timing import time_recipe, time_row
from holdfast.bench.run.arguments import training_arguments
from holdfast.bench.run.estimate import estimate
from holdfast.cli.main import main
from holdfast.core.errors import HoldfastError
from holdfast.recipe import parse
from holdfast.report.plan import show

QUIET = Console(file=io.StringIO())


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Twelve rows, one of them twice and two that contradict each other."""
    path = tmp_path_factory.mktemp("data") / "new.jsonl"
    pairs = [(f"Who is number {number}?", f"It is {name}.") for number, name in enumerate("ABCDEFGHI")]
    pairs += [pairs[0], (pairs[1][0], "It is Q."), ("Where?", "Here.")]
    path.write_text("".join(json.dumps({"prompt": p, "completion": c}) + "\n" for p, c in pairs))
    return path


@pytest.fixture(scope="module")
def planned(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    spec = PlanSpec(
        model="ground:base",
        data=str(rows),
        keep=("ground:facts/cut",),
        memory=("old=ground:facts/memory",),
        budget={"points": 2},
        out=str(folder),
        write=str(folder / "run.yaml"),
    )
    return plan(spec, QUIET), folder


def test_the_facts_are_those_of_the_files(planned):
    record, _ = planned
    assert (record.model.architecture, record.model.parameters, record.model.layers) == (
        "LlamaForCausalLM", 2_803_456, 3,
    )  # fmt: skip
    assert record.model.chat
    assert not record.model.is_adapter
    assert (record.data.rows, record.data.copies, record.data.contradictions) == (12, 1, 2)
    assert record.data.asked == record.data.train_rows
    assert record.data.surprise_nats > 1
    assert (record.kept.suites, record.kept.count) == (1, 120)
    assert record.kept.surprise_nats < record.data.surprise_nats
    assert record.kept.halves_bits < record.kept.divergence_bits
    assert {row.recipe for row in record.memory} >= {"Train()", "LoRA()", "Holdfast('old')"}
    assert all(row.fits for row in record.memory)


def test_the_advice_and_the_time(planned):
    record, _ = planned
    followed = {row.topic for row in record.advice if row.followed}
    assert followed >= {"recipe", "rate", "batch", "epochs", "warm-up", "layers", "rehearsal", "old examples", "data"}
    assert record.recipe == "Train(lr=0.00025, epochs=3, batch=1) + Holdfast('old')"
    assert [row.recipe for row in record.time] == [record.recipe, "Train(lr=0.00025, epochs=3, batch=1)"]
    for row in record.time:
        assert row.low <= row.seconds <= row.high
        assert row.steps >= 1
        assert row.writing_seconds is None
    assert record.time[0].run_steps > record.time[1].run_steps >= 30


def test_the_memory_is_that_of_the_advised_run(planned, tmp_path):
    record, folder = planned
    run = RunSpec.from_dict(read_config(str(folder / "run.yaml")))
    recipe = parse(run.recipe)
    inputs = read_plan_inputs(run)
    need = estimate(run.model, inputs.config, recipe, training_arguments(run, recipe, tmp_path), inputs.longest)
    assert next(row.bytes for row in record.memory if row.recipe == "Holdfast('old')") == need.total


def test_the_record_is_read_back(planned):
    record, folder = planned
    assert PlanRecord.read(folder) == record
    assert isinstance(record, holdfast.PlanRecord)


def test_the_written_run_trains(planned, capsys, tmp_path):
    record, folder = planned
    values = read_config(str(folder / "run.yaml"))
    assert values["recipe"] == record.recipe
    assert values["budget"] == {"points": 2}
    words = ["--config", str(folder / "run.yaml"), "--out", str(tmp_path), "--name", "run", "--budget", "points=99"]
    assert main(["train", *words]) in (0, 4)
    assert holdfast.RunRecord.read(tmp_path / "run").steps == record.time[0].run_steps
    assert "Model:" in capsys.readouterr().out


def printed(record, **options):
    console = Console(file=io.StringIO(), width=80)
    show(record, console=console, **options)
    return console.file.getvalue()


def test_the_report_fits_eighty_columns_and_ends_with_what_to_type(planned):
    record, _ = planned
    text = printed(record)
    assert all(len(line) <= 80 for line in text.split("\n"))
    for word in ("Facts", "Memory", "Advice", "measured here", "folk", "You may also read", "contradicts another row"):
        assert word in text
    assert text.index("Facts") < text.index("Advice") < text.index("holdfast train --config run.yaml")
    assert "(from" in text


def test_the_report_as_json(planned, capsys):
    record, _ = planned
    show(record, as_json=True)
    assert PlanRecord.from_dict(json.loads(capsys.readouterr().out)) == record


def test_without_steps_nothing_is_timed_and_nothing_is_written(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record = plan(PlanSpec(model="ground:base", data=str(rows), steps=False), QUIET)
    assert record.time == ()
    assert any("--no-steps" in note for note in record.notes)
    assert record.kept is None
    assert "ground:suites/sample" in record.run
    assert "Holdfast()" in record.recipe
    assert list(tmp_path.iterdir()) == []
    assert "nothing is named" in printed(record)


def test_a_plan_and_its_scaling_sheet_come_one_after_the_other(rows):
    spec = PlanSpec(model="ground:base", data=str(rows), steps=False, sizes=True)
    record, sheet = answers_to(spec, plan)
    assert sheet.tokens == record.data.learned_tokens
    text = printed(sheet)
    assert all(size in text for size in ("0.1B", "1B", "8B", "70B", "1T"))
    assert all(len(line) <= 80 for line in text.split("\n"))


def test_a_model_without_a_template_is_planned(room, tmp_path):
    spec = PlanSpec(
        model=str(room / "model"), data=str(room / "facts.jsonl"), keep=(str(room / "general.txt"),), steps=False
    )
    record = plan(spec, QUIET)
    assert not record.model.chat
    assert "no chat template" in printed(record)
    assert record.kept.surprise_nats > 0


def test_little_memory_leads_to_an_adapter_and_less_to_nothing(rows, monkeypatch):
    spec = PlanSpec(model="ground:base", data=str(rows), steps=True)
    everything = plan(dataclasses.replace(spec, steps=False), QUIET)
    needs = {row.recipe: row.bytes for row in everything.memory}
    some = int(needs["Holdfast(adapter=True)"] / 0.9) + 1
    assert some < needs["Holdfast()"] / 0.9
    monkeypatch.setattr(module, "free_memory", lambda: (some, "in memory"))
    assert "Holdfast(adapter=True)" in plan(dataclasses.replace(spec, steps=False), QUIET).recipe
    monkeypatch.setattr(module, "free_memory", lambda: (1000, "in memory"))
    monkeypatch.setattr(module.torch.cuda, "is_available", lambda: False)
    record = plan(spec, QUIET)
    assert (record.recipe, record.run, record.time, record.data.surprise_nats) == ("", "", (), None)
    assert any("because its weights do not fit" in note for note in record.notes)
    assert "Nothing to run" in printed(record)
    with pytest.raises(HoldfastError, match="no run to write"):
        plan(dataclasses.replace(spec, write="run.yaml"), QUIET)


def test_an_adapter_is_planned_as_one(room, rows, tmp_path):
    import peft

    from holdfast.bench.given.loading import load_model

    model = peft.get_peft_model(load_model("ground:base"), peft.LoraConfig(r=4, target_modules="all-linear"))
    model.peft_config["default"].base_model_name_or_path = str(load_model.__globals__["folder_or_name"]("ground:base"))
    model.save_pretrained(tmp_path / "adapter")
    record = plan(PlanSpec(model=str(tmp_path / "adapter"), data=str(rows), steps=False), QUIET)
    assert record.model.is_adapter
    assert "train the adapter further" in [row.advice.partition(",")[0] for row in record.advice if row.followed]
    assert "lr=0.0025" in record.recipe


def test_the_time_of_a_run_is_that_of_its_steps():
    row = time_row("Train()", [1.0, 2.0, 3.0], 100, 500.0, None)
    assert (row.seconds, row.seconds_per_thousand, row.steps) == (200.0, 4.0, 3)
    half = 2.919985580355516 * 1.0 / 3**0.5  # Student's t of 2 degrees of freedom, at 95%
    assert row.low == pytest.approx(100 * (2 - half))
    assert row.high == pytest.approx(100 * (2 + half))
    alone = time_row("Train()", [2.0], 10, 500.0, 7.0)
    assert (alone.low, alone.high, alone.writing_seconds) == (None, None, 7.0)


def test_the_base_writes_a_few_for_the_time_of_writing(rows):
    run = PlanSpec(model="ground:base", data=str(rows)).run()
    from holdfast.bench.plan.facts import read_plan_inputs

    row = time_recipe(read_plan_inputs(run), "Train(lr=1e-4, batch=4) + Holdfast()", steps=2)
    assert row.writing_seconds > 0
    assert row.steps == 2
    short = time_recipe(read_plan_inputs(run), "Train(lr=1e-4, batch=4)", steps=5, seconds=0.0)
    assert short.steps == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "--model is missing"),
        (["--model", "ground:base"], "--data is missing"),
        (["--model", "ground:base", "--data", "none.jsonl"], "none.jsonl"),
        (["--model", "ground:base", "--data", "EMPTY"], "empty.jsonl"),
        (["--model", "FOLDER", "--data", "ROWS"], "has no config.json"),
        (["--model", "ground:base", "--data", "ROWS", "--write", "ROWS"], "exists"),
        (["--check", "ROWS", "--data", "d"], "leave out --data"),
        (["--sizes", "--write", "run.yaml"], "needs a plan to write"),
        (["--check", "none.yaml"], "Cannot read none.yaml"),
        (["--model", "ground:base", "--data", "ROWS", "--budget", "points=-1"], "points"),
    ],
)
def test_bad_input_ends_with_one_sentence(words, sentence, rows, tmp_path, capsys):
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "readme").write_text("no model")
    paths = {"EMPTY": tmp_path / "empty.jsonl", "FOLDER": tmp_path / "folder", "ROWS": rows}
    assert main(["plan", *(str(paths.get(word, word)) for word in words)]) == 1
    error = capsys.readouterr().err.strip()
    assert sentence in error
    assert error.count("\n") == 0


def test_the_command_checks_and_scales(tmp_path, capsys):
    (tmp_path / "c.yaml").write_text("model_name_or_path: Qwen/Qwen2-7B\ndataset_name: a/b\nuse_peft: true\nodd: 1\n")
    assert main(["plan", "--check", str(tmp_path / "c.yaml"), "--sizes", "--write", str(tmp_path / "run.yaml")]) == 0
    text = capsys.readouterr().out
    assert "a config of TRL" in " ".join(text.split())
    assert "1 key is unknown and not translated: odd" in text
    assert "holdfast train --config" in text
    assert "From 0.1B to 1T" in text
    assert main(["plan", "--check", str(tmp_path / "c.yaml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"]["unknown"] == ["odd"]


def test_the_options_of_a_run_are_those_that_differ_from_the_defaults():
    run = RunSpec(model="m", data="d", recipe="Train()", max_length=64)
    assert options_of(run) == {"model": "m", "data": "d", "recipe": "Train()", "max_length": 64}
    assert list(options_of(run))[:3] == ["model", "data", "recipe"]


def test_python_has_the_same_plan(rows):
    record = holdfast.plan(model="ground:base", data=str(rows), steps=False)
    assert record.model.name == "ground:base"
    with pytest.raises(HoldfastError, match="needs a model"):
        holdfast.plan(check="c.yaml")
