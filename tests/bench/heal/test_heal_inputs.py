"""What a healing reads and refuses before any model: options of a run, questions, old examples, the retraining."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import pytest

from holdfast.bench.fit import full_run
from holdfast.bench.given.fit_spec import FitSpec
from holdfast.bench.given.heal_spec import HealSpec
from holdfast.bench.given.precision import resolved
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.heal import heal as healing
from holdfast.bench.heal import retraining
from holdfast.bench.heal.inputs import inputs_of, suites_of
from holdfast.bench.heal.ranking_suites import RankingSuites, questions_digest
from holdfast.bench.run.folder import begin_folder, folder_of
from holdfast.core.errors import HoldfastError
from holdfast.recipe import parse
from holdfast.report.page.again import command
from holdfast.report.page.heal import _given
from holdfast.rerank.collection import Collection, Document, Query
from holdfast.rerank.suite import RerankSuite
from holdfast.suites.default import GENERAL
from tests import tiny


def ranked(query="cats", text="A cat.", title="", grade=1):
    """Suites of one query with two candidates."""
    documents = {"a": Document("a", text, title), "b": Document("b", "A dog.")}
    whole = Collection("pets", {"q": Query("q", query)}, documents, {"q": {"a": grade}}, {"q": ("a", "b")})
    return RankingSuites((), (RerankSuite(whole),), None)


@pytest.mark.parametrize("change", [{"query": "dogs"}, {"text": "Another."}, {"title": "Cats"}, {"grade": 2}])
def test_questions_to_rerankers_are_known_by_their_contents(change):
    assert questions_digest(ranked(), 48, "fp32") == questions_digest(ranked(), 48, "fp32")
    assert questions_digest(ranked(**change), 48, "fp32") != questions_digest(ranked(), 48, "fp32")
    assert questions_digest(ranked(), 48, "bf16") != questions_digest(ranked(), 48, "fp32")


def run_of(folder, resolved=None, **changes):
    """A finished run of a tiny model, without its weights; returns the healing of it."""
    given = {"model": "base", "data": "new.jsonl", "keep": ("kept.jsonl",), "budget": {"points": 5}, **changes}
    run = RunSpec(**given, out=str(folder), name="run")
    begin_folder(folder / "run", run, parse(resolved or run.recipe), {})
    (folder / "run" / "model").mkdir()
    (folder / "run" / "result.json").write_text("{}")
    return {"base": "base", "tuned": str(folder / "run")}


def rows(path, first, count):
    """A file of texts that begin with different numbers."""
    lines = [json.dumps({"text": f"t{n} t{n + 1} t{n + 2}"}) for n in range(first, first + count)]
    path.write_text("\n".join(lines))
    return str(path)


@pytest.mark.parametrize("recipe", ["Train() + Rehearsal('old')", "auto"])
def test_rows_that_a_run_rehearsed_are_not_judged_as_kept(tmp_path, recipe):
    kept, old = rows(tmp_path / "kept.jsonl", 20, 40), rows(tmp_path / "old.jsonl", 20, 20)
    changes = {"data": rows(tmp_path / "new.jsonl", 70, 20), "keep": (kept,), "budget": {"nll": 1.0}, "recipe": recipe}
    given = run_of(tmp_path, "Train() + Rehearsal('old')", memory=(f"old={old}", "idle=none.jsonl"), **changes)
    notes = []
    asked = suites_of(inputs_of(HealSpec(**given)), tiny.tokenizer(), notes)
    assert sum(len(suite) for suite in (*asked.validation, *asked.test) if suite.role == "retained") == 20
    assert any("20 rows are also among those to learn and left out of kept" in note for note in notes)


def test_a_run_that_kept_nothing_is_judged_by_what_other_commands_keep(tmp_path):
    inputs = inputs_of(HealSpec(**run_of(tmp_path, keep=(), budget={}), budget={"points": 2}))
    assert inputs.run.keep == inputs.spec.keep == (GENERAL,)


FOUR = {"seed": 7, "packing": True, "memory_check": "warn", "training": {"max_grad_norm": 0.5}}
"""What a retraining has of the run that is healed."""


def retrained(spec, folder):
    """The four of the options of a retraining."""
    made = retraining.retraining_spec(inputs_of(spec), folder)
    return {name: getattr(made, name) for name in FOUR}


def test_a_retraining_runs_as_the_run_did_without_what_its_recipe_sets_and_without_an_upload(tmp_path):
    more = {"learning_rate": 1e-3, "lr_scheduler_type": "linear", "push_to_hub": True, "hub_model_id": "a/b"}
    given = run_of(tmp_path, recipe="Cosine()", **{**FOUR, "training": {**FOUR["training"], **more}})
    spec = HealSpec(**given, memory=("old=old.jsonl",))
    assert retrained(spec, tmp_path) == FOUR
    own = dataclasses.replace(spec, recipe="Rehearsal('old')")
    assert retrained(own, tmp_path)["training"] == {key: {**FOUR["training"], **more}[key] for key in (
        "max_grad_norm", "learning_rate", "lr_scheduler_type")}  # fmt: skip


def test_a_retraining_in_a_fit_runs_as_the_fit_does(tmp_path, monkeypatch):
    given, seen = run_of(tmp_path, recipe="Train()"), []
    run = RunSpec(model="base", data="new.jsonl", recipe="Train()", memory=(), **FOUR)
    monkeypatch.setattr(full_run, "heal", lambda spec, console, *, run: seen.append(run))
    fit = FitSpec(model="base", data="new.jsonl", keep=("kept.jsonl",), budget={"points": 5})
    with pytest.raises(AttributeError):  # the healing is none
        full_run.healed(SimpleNamespace(folder=tmp_path / "run"), fit, run, None, 1.0, tmp_path, None)
    assert seen == [run]
    inputs = inputs_of(HealSpec(**given, memory=("old=old.jsonl",)))
    made = retraining.retraining_spec(inputs.running_as(run), tmp_path)
    assert {name: getattr(made, name) for name in FOUR} == FOUR


def test_each_start_of_a_retraining_has_its_own_folder(tmp_path, monkeypatch):
    inputs = inputs_of(HealSpec(**run_of(tmp_path, recipe="Train()"), memory=("old=old.jsonl",)))
    folders = []
    monkeypatch.setattr(retraining, "train", lambda spec, console, start: folders.append(folder_of(spec)) or 1 / 0)
    asking, editor = SimpleNamespace(complete=print), SimpleNamespace(write_whole=lambda *words: None)
    made = healing._Healing(inputs, asking, editor, tmp_path / "out", None, [])
    for edit, strength in (("scale", 0.5), ("scale", 0.25), ("ties", 0.25), ("ties", 0.25)):
        chosen = SimpleNamespace(edit=edit, strength=strength, inside=False)
        with pytest.raises(ZeroDivisionError):
            made._retrain(None, None, chosen)
    assert [folder.parent for folder in folders] == [tmp_path / "out" / "retrained"] * 4
    assert [folder.name.partition("seed0")[2] for folder in folders] == [
        "-scale-0.5", "-scale-0.25", "-ties-0.25", "-ties-0.25"]  # fmt: skip


OF_RUN = {"max_length": 1024, "precision": "bf16", "raw": True, "over_long": "drop", "refused": "drop"}
"""Options of a run that are not the defaults."""
USUAL = {"max_length": 512, "precision": "fp32", "raw": False, "over_long": "truncate", "refused": "error"}
"""The defaults."""


def read_as(spec):
    """How a healing reads rows, and how the run does by which it prepares them."""
    inputs = inputs_of(spec)
    both = [{name: getattr(one, name) for name in OF_RUN} for one in (inputs.spec, inputs.run or inputs.spec)]
    assert both[0] == both[1]
    return both[0]


def test_what_is_given_counts_even_if_it_is_the_default_and_a_run_supplies_the_rest(tmp_path):
    run = run_of(tmp_path, recipe="Train()", **OF_RUN)
    assert read_as(HealSpec(**run)) == OF_RUN
    assert read_as(HealSpec(**run, **USUAL)) == USUAL
    assert read_as(HealSpec(**run, max_length=512)) == {**OF_RUN, "max_length": 512}
    plain = {"base": "base", "tuned": "tuned", "keep": ("kept.jsonl",), "budget": {"points": 5}}
    assert read_as(HealSpec(**plain)) == USUAL
    assert inputs_of(HealSpec(**plain)).spec.depth == 100


def test_flags_of_a_healing_are_none_or_given(tmp_path):
    words = {"base": "base", "tuned": "tuned", "max-length": 512, "raw": False}
    spec = HealSpec.from_dict(words, "the flags")
    assert (spec.max_length, spec.raw, spec.precision, spec.depth) == (512, False, None, None)
    with pytest.raises(HoldfastError, match="--max-length 1: give"):
        HealSpec.from_dict({**words, "max-length": 1}, "the flags")


def test_a_precision_that_is_chosen_here_is_not_replaced_by_that_of_the_run(tmp_path):
    given = {**run_of(tmp_path, recipe="Train()", **OF_RUN), "base": str(tmp_path)}
    assert inputs_of(resolved(HealSpec(**given, precision="auto"))).spec.precision == "fp32"


def test_a_depth_is_that_of_the_run_unless_it_is_given(tmp_path):
    given = run_of(tmp_path, recipe="Train()", task="rerank", depth=50)
    assert inputs_of(HealSpec(**given)).spec.depth == 50
    assert inputs_of(HealSpec(**given, depth=100)).spec.depth == 100


def test_the_command_on_a_page_repeats_defaults_where_a_run_has_others(tmp_path):
    options = HealSpec(**run_of(tmp_path, recipe="Train()", **OF_RUN), **USUAL).resolved().to_dict()
    words = ("base", "tuned")
    assert "--max-length 512" in command("heal", HealSpec, _given(options), words)
    assert "--no-raw" in command("heal", HealSpec, _given(options), words)
    assert "--" not in command("heal", HealSpec, _given({**options, "tuned": "tuned"}), words)


@pytest.mark.parametrize(
    ("name", "value"),
    [("raw", True), ("loss_on", "all"), ("over_long", "drop"), ("refused", "drop"), ("preference", "chosen")],
)
def test_options_of_text_are_refused_for_rerankers(name, value):
    given = {"base": "x", "tuned": "y", "task": "rerank", "keep": ("old.jsonl",), "budget": {"points": 5}}
    assert inputs_of(HealSpec(**given)).spec.reranks
    with pytest.raises(HoldfastError, match=f"^--{name.replace('_', '-')} has no effect on rerankers; leave it out"):
        inputs_of(HealSpec(**given, **{name: value}))
