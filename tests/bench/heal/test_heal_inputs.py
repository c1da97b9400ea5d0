"""What a healing reads and refuses before any model: options of a run, questions, old examples, the retraining."""

from __future__ import annotations

import json

import pytest

from holdfast.bench.given.heal_spec import HealSpec
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.heal.inputs import inputs_of, suites_of
from holdfast.bench.heal.ranking_suites import RankingSuites, questions_digest
from holdfast.bench.run.folder import begin_folder
from holdfast.recipe import parse
from holdfast.rerank.collection import Collection, Document, Query
from holdfast.rerank.suite import RerankSuite
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
