"""Options of a reranker's run that reach the lists to learn, the old lists, the guard and the cache of the base."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from holdfast import HoldfastError, RunSpec
from holdfast.bench.given.fit_spec import FitSpec
from holdfast.bench.given.specs import CompareSpec, PlanSpec
from holdfast.bench.machine.progress import Progress
from holdfast.bench.measured.ranking import read_suites
from holdfast.bench.run.ranking_data import read_ranking_data
from holdfast.bench.run.ranking_trainer import build_trainer, cross_encoder, ranking_arguments
from holdfast.bench.run.rerankers import attach_recipe, ranked_once, refuse_without_effect
from holdfast.core.run import SOURCE
from holdfast.recipe import parse
from tests.rerank import encoders

REHEARSE = "Train(lr=0.01, epochs=1, batch=8) + Rehearsal('old', ratio=0.2)"


def lists(path, count, negatives):
    """Writes lists with one relevant document each."""
    rows = [
        {
            "id": f"q{i}",
            "query": f"w{i % 9} w1",
            "positive": f"w{i % 9} w1 w{i}",
            "negative": [f"w{i} x{j}" for j in range(negatives)],
        }
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def folder(path, queries=8, text="price of thing"):
    """Writes a folder in BEIR's layout whose documents all have a word of each query."""
    path.mkdir(exist_ok=True)
    corpus = [{"_id": f"d{i}", "text": f"{text} w{i}"} for i in range(40)]
    asked = [{"_id": f"q{i}", "text": f"price of w{i}"} for i in range(queries)]
    qrels = ["query-id\tcorpus-id\tscore", *(f"q{i}\td{i}\t1" for i in range(queries))]
    (path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus))
    (path / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    (path / "qrels.tsv").write_text("\n".join(qrels) + "\n")
    return str(path)


def spec(tmp_path, **changes):
    usual = {
        "model": encoders.folder(), "data": lists(tmp_path / "new.jsonl", 30, 10), "recipe": REHEARSE,
        "memory": (f"old={folder(tmp_path / 'old')}",), "held_out": 0.3, "max_length": 48, "out": str(tmp_path),
    }  # fmt: skip
    return RunSpec(**{**usual, **changes})


def attached(of):
    recipe, notes = parse(of.recipe), []
    data = read_ranking_data(of, recipe)
    arguments = ranking_arguments(of, recipe, Path(of.out) / "checkpoints")
    trainer = build_trainer(of, cross_encoder(of, notes).model, data.lists, arguments)
    attach_recipe(of, recipe, trainer, data)
    return trainer


@pytest.mark.parametrize("held_out", [0.3, 0.0])
def test_the_lists_of_a_file_keep_their_documents_held_out_or_not(tmp_path, held_out):
    of = spec(tmp_path, held_out=held_out, easy=0, memory=(), recipe="Train()", keep=(folder(tmp_path / "kept"),))
    assert {len(entry.documents) for entry in read_ranking_data(of, parse(of.recipe)).lists} == {11}


@pytest.mark.parametrize(
    ("changes", "documents"),
    [({"negatives": 2}, 3), ({"negatives": 9, "depth": 4}, 4), ({"negatives": 2, "easy": 2}, 5)],
)
def test_the_options_of_lists_hold_for_old_ones(tmp_path, changes, documents):
    trainer = attached(spec(tmp_path, held_out=0.0, **{"easy": 0, **changes}))  # new rows have eleven or more
    old = [row for row in trainer.train_dataset if row[SOURCE]]
    assert max(len(row["documents"]) for row in old) == documents


def test_the_guard_asks_in_batches_of_the_given_size(tmp_path):
    kept, budget = lists(tmp_path / "kept.jsonl", 60, 3), {"points": 5, "every": 2, "on_spent": "log"}
    trainer = attached(spec(tmp_path, keep=(kept,), budget=budget, eval_batch_tokens=300))
    assert trainer.holdfast_guard.questions.asker.reranker.batch_tokens == 300


def test_scores_of_the_base_on_other_texts_are_not_those_of_the_cache(tmp_path):
    of = spec(tmp_path)
    reranker, found = cross_encoder(of, []), []
    for text in ("price of thing", "price of thing", "price of another thing"):
        suites = read_suites([("retained", folder(tmp_path / "kept", text=text))], 5, [])
        with Progress(Console(quiet=True)) as progress:
            found.append(ranked_once(reranker, suites, of, tmp_path / "bases", progress)[0].raw)
    assert found[0] == found[1] != found[2]
    assert found[0].keys() == found[2].keys()
    assert len(list((tmp_path / "bases").iterdir())) == 2


def test_a_check_that_no_reranker_has_is_refused(tmp_path):
    with pytest.raises(HoldfastError, match=r"^--memory-check has no effect on rerankers; leave it out\.$"):
        refuse_without_effect(spec(tmp_path, memory_check="warn"))


@pytest.mark.parametrize("option", [{"loss": "bce"}, {"negatives": 5}, {"easy": 0}, {"depth": 20}])
def test_language_models_refuse_the_options_of_rerankers(option):
    (name,) = option
    given = {"model": "ground:base", "data": "ground:people", "keep": ("x",)}
    more = {CompareSpec: {"recipes": ("Finch()",)}, FitSpec: {"budget": {"points": 2}}}
    for make in (RunSpec, PlanSpec, CompareSpec, FitSpec):
        usual = {**given, **more.get(make, {})}
        with pytest.raises(HoldfastError, match=rf"^--{name} is for rerankers; leave it out, or name them with"):
            make(**usual, **option)
        assert make(**usual, **option, task="rerank").reranks


def teacher(path, labels):
    path.write_text(json.dumps({"query": "w1 w2", "documents": ["w3", "w4"], "labels": labels}) + "\n")
    return str(path)


def test_pairs_of_a_teachers_lists_keep_its_probabilities(tmp_path):
    how = {"loss": "bce", "held_out": 0.0, "test": folder(tmp_path / "test"), "easy": 0, "recipe": "Train()"}
    data = attached(spec(tmp_path, **how, memory=(), data=teacher(tmp_path / "soft.jsonl", [0.9, 0.2])))
    assert data.train_dataset["label"][:] == [0.9, 0.2]
    grades = attached(spec(tmp_path, **how, memory=(), data=teacher(tmp_path / "grades.jsonl", [2, 0])))
    assert grades.train_dataset["label"][:] == [1.0, 0.0]
    with pytest.raises(HoldfastError, match=r"logits.jsonl:1: the label -4.5 is no probability, and --loss bce needs"):
        attached(spec(tmp_path, **how, memory=(), data=teacher(tmp_path / "logits.jsonl", [1.5, -4.5][::-1])))


def test_a_model_with_a_prompt_trains_with_it(tmp_path):
    of = spec(tmp_path, memory=(), recipe="Train()")
    model = cross_encoder(of, []).model
    model.prompts, model.default_prompt_name = {"old": "w5 w6 "}, "old"
    lists_to_learn = read_ranking_data(of, parse(of.recipe)).lists
    trainer = build_trainer(
        of, model, lists_to_learn, ranking_arguments(of, parse(of.recipe), tmp_path / "checkpoints")
    )
    assert trainer.data_collator([trainer.train_dataset[0]])["prompt"] == "w5 w6 "
