"""The schema of a run and of a score."""

import dataclasses
import json
import subprocess
import sys

import pytest

from holdfast.bench.given.specs import PlanSpec, ReportSpec, RunSpec
from holdfast.bench.machine import env
from holdfast.bench.measured.scores import read_scores, record_of, score_of, write_scores
from holdfast.core.errors import HoldfastError
from holdfast.probes.score import Score

GIVEN = {"model": "m", "data": "d.jsonl", "recipe": "LoRA(rank=16)"}
SCORE = Score(
    suite="general",
    role="retained",
    split="proof",
    item="general.jsonl:7",
    group="general.jsonl:7",
    value=12.5,
    unit="nats",
    higher_is_better=False,
    weight=31,
)


def test_every_option_says_what_it_is_for():
    for field in dataclasses.fields(RunSpec):
        text = field.metadata["help"]
        assert len(text) > 10, field.name
        assert not text.endswith("."), field.name


def test_a_spec_survives_being_written_as_json():
    spec = RunSpec(**GIVEN, keep=("a.txt",), memory=("old=a.jsonl",), training={"report_to": "none", "fsdp": ["x"]})
    assert RunSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_keys_may_be_written_like_flags():
    assert RunSpec.from_dict({**GIVEN, "max-length": 64}).max_length == 64


def test_a_whole_number_will_do_for_a_share():
    spec = RunSpec(**GIVEN, held_out=0)
    assert isinstance(spec.held_out, float)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"max_lenght": 5}, r"Unknown key 'max_lenght' in run\.yaml\. Did you mean 'max_length'\?"),
        ({"max_length": 5, "max-length": 6}, "given twice"),
        ({"max_length": 1}, r"--max-length 1: give a whole number of at least 2\."),
        ({"max_length": "512"}, "--max-length '512': give a whole number"),
        ({"seed": True}, "--seed True: give a whole number"),
        ({"seed": -1}, "at least 0"),
        ({"batch_size": 0}, "--batch-size 0"),
        ({"held_out": 1.0}, "give a share from 0 to below 1"),
        ({"held_out": float("nan")}, "give a share"),
        ({"precision": "int8"}, "give one of 'fp32', 'bf16', 'fp16'"),
        ({"raw": "yes"}, "give true or false"),
        ({"keep": "a.txt"}, "give a list of words"),
        ({"keep": [1]}, "give a list of words"),
        ({"memory": ["a.jsonl"]}, r"give NAME=FILE"),
        ({"memory": ["a=x", "a=y"]}, "the name 'a' is taken"),
        ({"name": "../x"}, "without a path"),
        ({"model": ""}, "--model '': give a word"),
        ({"training": ["a"]}, "give keys and values"),
    ],
)
def test_a_wrong_option_is_answered_with_one_sentence(change, sentence):
    with pytest.raises(HoldfastError, match=sentence):
        RunSpec.from_dict({**GIVEN, **change}, where="run.yaml")


@pytest.mark.parametrize("missing", ["model", "data"])
def test_a_missing_option_is_named(missing):
    with pytest.raises(HoldfastError, match=f"--{missing} is missing"):
        RunSpec.from_dict({key: value for key, value in GIVEN.items() if key != missing})


@pytest.mark.parametrize(
    ("memory", "recipe"),
    [([], "Holdfast()"), (["a=x.txt", "b=y.txt"], "Holdfast(memory='a, b')")],
)
def test_without_a_recipe_it_is_holdfast_with_every_memory(memory, recipe):
    given = {key: value for key, value in GIVEN.items() if key != "recipe"}
    assert RunSpec.from_dict({**given, "memory": memory}).recipe == recipe
    assert RunSpec.from_dict({**given, "memory": memory, "recipe": "DFT()"}).recipe == "DFT()"


def test_a_score_survives_being_written(tmp_path):
    scores = {"before": [SCORE], "after": [dataclasses.replace(SCORE, value=-0.1 + 0.3, item="ß\n")]}
    write_scores(tmp_path / "scores.jsonl", "a", scores)
    assert read_scores(tmp_path / "scores.jsonl") == scores
    first = json.loads((tmp_path / "scores.jsonl").read_text().splitlines()[0])
    assert (first["run"], first["moment"]) == ("a", "before")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"value": float("nan")}, "nan is not a measurement"),
        ({"value": "1"}, "value is '1', which is not a number"),
        ({"weight": 0.0}, "counts nothing"),
        ({"moment": "during"}, "not one of 'before', 'after'"),
        ({"role": "other"}, "not one of 'learned', 'transfer', 'retained'"),
        ({"higher_is_better": 1}, "not true or false"),
    ],
)
def test_what_is_no_score_is_refused(change, sentence):
    with pytest.raises(HoldfastError, match=sentence):
        score_of({**record_of(SCORE, "a", "before"), **change})


def test_a_broken_score_is_named_by_file_and_line(tmp_path):
    path = tmp_path / "scores.jsonl"
    record = record_of(SCORE, "a", "before")
    for wrong, sentence in (
        ({**record, "vale": 1}, r"Unknown field 'vale' in .*scores\.jsonl:2\. Did you mean 'value'"),
        ({k: v for k, v in record.items() if k != "unit"}, r"Missing in .*scores\.jsonl:2: unit"),
    ):
        path.write_text(json.dumps(record) + "\n" + json.dumps(wrong) + "\n")
        with pytest.raises(HoldfastError, match=sentence):
            read_scores(path)


def test_the_environment_is_plain_json_and_costs_no_torch():
    code = (
        "import json, sys; from holdfast.bench.machine.env import environment; found = environment();"
        "assert 'torch' not in sys.modules; print(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["packages"]["torch"]
    assert found["processors"] >= 1
    assert "torch_threads" not in found


def test_torch_threads_are_told_once_torch_is_loaded():
    import torch

    assert env.environment()["torch_threads"] == torch.get_num_threads()


def test_outside_a_checkout_the_revision_is_absent(monkeypatch):
    def no_git(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(env.subprocess, "run", no_git)
    assert "revision" not in env.environment()


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        (PlanSpec, {"check": "c.yaml", "keep": ("a",)}, "--keep has no effect with --check"),
        (PlanSpec, {"check": "c.yaml", "budget": {"points": 2}}, "--budget has no effect with --check"),
        (PlanSpec, {"check": "c.yaml", "precision": "bf16"}, "--precision has no effect with --check"),
        (ReportSpec, {"runs": ("a",), "live": True, "html": "p.html"}, "--live serves the page and writes nothing"),
        (ReportSpec, {"runs": ("a",), "live": True, "format": "csv"}, "--live serves the page and writes nothing"),
    ],
)
def test_options_that_another_one_makes_idle_are_refused(kind, given, says):
    with pytest.raises(HoldfastError, match=says):
        kind(**given)
    assert PlanSpec(check="c.yaml", model="m", write="run.yaml").check == "c.yaml"
