"""A comparison from its words to its folders: shared trainings, and one look at the base."""

from __future__ import annotations

import io
import json

import pytest
import safetensors.torch
import torch
from rich.console import Console

from holdfast.bench.compare.compare import _introduce, compare
from holdfast.bench.compare.plan import Plan, plan
from holdfast.bench.compare.worker import run_job
from holdfast.bench.given.specs import CompareSpec, RunSpec
from holdfast.bench.machine.files import read_jsonl
from holdfast.bench.measured.scores import read_scores
from holdfast.bench.run.run import train
from holdfast.core.errors import HoldfastError

SETTINGS = "Train(lr=0.01, epochs=1)"


def go(spec):
    said = io.StringIO()
    done = compare(spec, Console(file=said, width=200))
    return done, said.getvalue()


def weights(folder):
    return safetensors.torch.load_file(next((folder / "model").glob("*.safetensors")))


def by_recipe(spec, done):
    folders = {folder.name: folder for folder in done.folders}
    from holdfast.bench.run.folder import folder_of

    return {one.spec.recipe: folders[folder_of(one.spec).name] for one in plan(spec).runs}


@pytest.fixture(scope="module")
def finished(room, tmp_path_factory):
    spec = CompareSpec(
        model=str(room / "model"), data=str(room / "facts.jsonl"), test=str(room / "test.jsonl"),
        keep=(str(room / "texts.txt"),), recipes=("WiSEFT(alpha=0.25)", "LoRA(rank=2)", "LoRA(rank=2) + FAPM()"),
        doses=(1.0,), settings=SETTINGS, batch_size=4, max_length=64, workers=2,
        out=str(tmp_path_factory.mktemp("compare")),
    )  # fmt: skip
    done, said = go(spec)
    return spec, done, said


def test_every_run_has_a_folder_as_train_leaves_it(finished):
    spec, done, said = finished
    assert done.exit_code == 0
    assert len(done.folders) == 4
    for folder in done.folders:
        for name in ("spec.json", "env.json", "scores.jsonl", "result.json", "model"):
            assert (folder / name).exists(), name
    assert "4 runs; 2 only edit the weights of another." in said
    assert "4/4 done in" in said
    (record,) = (json.loads(path.read_text()) for path in (done.folders[0].parent).glob("compare-*.json"))
    assert record["asked"]["recipes"] == list(spec.recipes)
    assert all(run["finished"] for run in record["runs"])


def test_what_is_edited_is_what_training_it_gives(finished, tmp_path):
    spec, done, _ = finished
    folders = by_recipe(spec, done)
    for recipe in ("Train(lr=0.01, epochs=1) + WiSEFT(alpha=0.25)", "Train(lr=0.1, epochs=1) + LoRA(rank=2) + FAPM()"):
        result = json.loads((folders[recipe] / "result.json").read_text())
        assert "trained_in" in result
        same = {name: getattr(spec, name) for name in ("model", "data", "test", "keep", "batch_size", "max_length")}
        alone = train(RunSpec(**same, recipe=recipe, out=str(tmp_path)), Console(quiet=True))
        own, other = weights(folders[recipe]), weights(alone.folder)
        assert own.keys() == other.keys()
        for name, tensor in own.items():
            torch.testing.assert_close(tensor, other[name], rtol=0, atol=1e-6)
        assert alone.record.trained_in is None
        assert result["trained_parameters"] == alone.record.trained_parameters
        assert result["steps"] == alone.record.steps
    trunk = weights(folders["Train(lr=0.01, epochs=1)"])
    edited = weights(folders["Train(lr=0.01, epochs=1) + WiSEFT(alpha=0.25)"])
    assert any(not torch.equal(trunk[name], edited[name]) for name in trunk)


def test_the_base_is_asked_once_and_all_runs_have_its_answers(finished):
    _, done, _ = finished
    out = done.folders[0].parent
    assert len(list((out / "base").glob("*/*.jsonl"))) == 1
    before = [
        {(r.suite, r.item): r.value for r in read_scores(folder / "scores.jsonl")["before"]} for folder in done.folders
    ]
    assert all(one == before[0] for one in before)
    assert {row["run"] for row in read_jsonl(done.folders[1] / "scores.jsonl")} == {done.folders[1].name}


def test_given_again_it_only_reads(finished):
    spec, done, _ = finished
    times = {path: path.stat().st_mtime_ns for folder in done.folders for path in folder.rglob("*")}
    again, said = go(spec)
    assert again.folders == done.folders
    assert "4 of them finished before" in said
    assert {path: path.stat().st_mtime_ns for folder in done.folders for path in folder.rglob("*")} == times


def test_more_recipes_join_those_that_are_there(finished, worker):
    import dataclasses

    spec, done, _ = finished
    more, said = go(dataclasses.replace(spec, recipes=("WiSEFT(alpha=0.25)", "MoFO()")))
    assert "3 runs, 2 of them finished before" in said
    assert set(done.folders) & set(more.folders)


def test_what_a_run_costs_is_kept(finished):
    _, done, _ = finished
    for folder in done.folders:
        cost = json.loads((folder / "result.json").read_text())["cost"]
        assert cost["device"] in ("cpu", "cuda")
        assert cost["seconds"] > 0
        assert cost["cpu"] > 0
        assert cost["memory"] >= cost["before"] > 0


def test_a_budget_that_nothing_is_measured_by_is_refused_before_any_run(compared, worker):
    with pytest.raises(HoldfastError, match="limits none of the measured units"):
        compare(compared("Finch()", budget={"points": 2}), Console(quiet=True))


def test_a_base_that_cannot_be_asked_stops_everything(compared, worker, room):
    spec = compared("Finch()", keep=("nothing.txt",))
    with pytest.raises(HoldfastError, match="nothing.txt"):
        compare(spec, Console(quiet=True))


def test_the_answers_of_a_base_do_not_depend_on_who_asks(room, tmp_path):
    spec = RunSpec(
        model=str(room / "model"), data=str(room / "facts.jsonl"), recipe=SETTINGS, keep=(str(room / "texts.txt"),),
        out=str(tmp_path), batch_size=4,
    )  # fmt: skip
    # The budget may be one of a run with a guard, as in the demo.
    budget = {"nll": 1, "on_spent": "log"}
    job = {"kind": "base", "spec": spec.to_dict(), "bases": str(tmp_path / "base"), "budget": budget}
    run_job(job, Console(quiet=True))
    (kept,) = (tmp_path / "base").glob("*.jsonl")
    text = kept.read_text()
    alone = train(spec, Console(quiet=True))
    sharing = train(RunSpec(**{**spec.to_dict(), "name": "b"}), Console(quiet=True), bases=tmp_path / "base")
    assert kept.read_text() == text
    one, other = (read_scores(done.folder / "scores.jsonl") for done in (alone, sharing))
    assert one == other
    changed = train(
        RunSpec(**{**spec.to_dict(), "name": "c", "keep": [str(room / "general.txt")]}),
        Console(quiet=True),
        bases=tmp_path / "base",
    )
    assert len(list((tmp_path / "base").glob("*.jsonl"))) == 2
    assert {r.suite for r in read_scores(changed.folder / "scores.jsonl")["after"]} >= {"general"}


def test_no_run_of_a_comparison_is_pushed(room, tmp_path):
    training = {"push_to_hub": True, "hub_model_id": "me/x"}
    spec = CompareSpec(
        model=str(room / "model"), data=str(room / "facts.jsonl"), recipes=("LoRA()",), training=training,
        out=str(tmp_path),
    )  # fmt: skip
    with pytest.raises(HoldfastError, match=r"push_to_hub: a comparison makes many models; .*with holdfast train"):
        compare(spec, Console(quiet=True))


def test_a_pipe_gets_each_note_whole():
    said = io.StringIO()
    note = "a note that is longer than a line " * 5
    _introduce(Plan((), (note,)), 0, Console(file=said, width=80))
    assert f"  {note}\n" in said.getvalue()
