"""Plans for rerankers: facts about small collections, the rules, their sum, and what the command prints."""

from __future__ import annotations

import dataclasses
import io
import json
import random
import re
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from holdfast import fine_tune
from holdfast.bench.fit.ranking_inputs import RankingFitInputs
from holdfast.bench.forecast.plan import plan
from holdfast.bench.given.specs import PlanSpec
from holdfast.bench.plan.advice import rows_of
from holdfast.bench.plan.evidence import EVIDENCE, TOPICS
from holdfast.bench.plan.ranking import ranking_plan
from holdfast.bench.plan.ranking.ranking_facts import contradicting, lengths_of, ranking_kept_row
from holdfast.bench.plan.ranking.ranking_memory import adapted, ranking_need_rows
from holdfast.bench.plan.ranking.ranking_record import RankingPlanRecord
from holdfast.bench.plan.ranking.ranking_rules import RANKING_RULES, RankingSituation, needed_queries, ranking_recipe
from holdfast.core.errors import HoldfastError
from holdfast.report.plan import show
from holdfast.rerank.collection import CandidateList
from holdfast.rerank.sources import read_collection
from holdfast.rerank.suite import suite_of
from tests.rerank import encoders

QUIET = Console(quiet=True)
ROOT = Path(__file__).parents[3]
CASE = RankingSituation(parameters=22_000_000, lists=300, judged=200, least_points=1.0)


def written(path, count, seed, more=()):
    draw = random.Random(seed)
    rows = [
        {
            "id": f"{path.stem}-{i}",
            "query": f"{path.stem}{i} {encoders.text(draw)}",
            "positive": encoders.text(draw),
            "negative": [encoders.text(draw) for _ in range(3)],
        }
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *more]))
    return str(path)


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    room = tmp_path_factory.mktemp("plan")
    again = {"id": "again", "query": "legal0 the same", "positive": "w1 w2", "negative": ["w3"]}
    other = {"id": "other", "query": "legal0 the same", "positive": "w3", "negative": ["w1 w2"]}
    written(room / "legal.jsonl", 38, 0, [again, other])
    written(room / "general.jsonl", 60, 1)
    written(room / "test.jsonl", 20, 2, [{**again, "id": "leak"}])
    written(room / "old.jsonl", 12, 3)
    return room


def spec(room, **changes):
    given = {
        "model": encoders.folder(),
        "data": str(room / "legal.jsonl"),
        "test": str(room / "test.jsonl"),
        "keep": (str(room / "general.jsonl"),),
        "max_length": 12,
        "steps": False,
    }
    return PlanSpec(**{**given, **changes})


def test_the_facts_are_those_of_the_files(room):
    made = plan(spec(room, budget={"points": 1}), QUIET)
    assert isinstance(made, RankingPlanRecord)
    data = made.data
    assert (data.lists, data.copies, data.contradictions, data.leaked) == (40, 1, 2, 1)
    assert data.pairs == 38 * 5 + 2 * 3, "three negatives and an easy one, or all that there are"
    assert data.relevant == 1.0
    assert data.comparable == 40
    assert data.cut > 0
    assert data.longest > 12 == made.model.reads
    assert 0 <= data.first_right <= 1
    assert 0 <= data.doubtful <= data.negatives == 38 * 4 + 2 * 2
    assert made.kept.queries == 60 == made.kept.watched + made.kept.judged
    followed = {row.topic: row.rule for row in made.advice if row.followed}
    assert followed["recipe"] == "a penalty to the base"
    assert {row.rule for row in made.advice} >= {"enough queries", "contradicting judgments", "leaks"}
    assert made.recipe == "Train(lr=0.0005, epochs=3, batch=2) + BaseKL()"
    assert any("No step was timed" in note for note in made.notes)


def test_the_advised_run_trains_and_the_times_are_those_of_its_steps(room, tmp_path):
    timed = spec(
        room, steps=True, memory=(f"old={room}/old.jsonl",), write=str(tmp_path / "run.yaml"), out=str(tmp_path)
    )
    made = plan(timed, QUIET)
    assert made.recipe.endswith("+ BaseKL() + Rehearsal('old', ratio=0.2)")
    assert [row.recipe for row in made.time] == [made.recipe, made.plain]
    assert made.time[1].run_steps == 60
    assert 70 <= made.time[0].run_steps <= 80, "a fifth of the lists is old"
    assert RankingPlanRecord.read(tmp_path) == made
    done = fine_tune(**yaml.safe_load((tmp_path / "run.yaml").read_text()), out=str(tmp_path), name="run")
    assert done.record.steps == made.time[0].run_steps
    with pytest.raises(HoldfastError, match="exists"):
        plan(timed, QUIET)


def test_what_does_not_fit_into_memory_is_neither_timed_nor_tried(room, monkeypatch):
    whole = plan(spec(room), QUIET)
    assert [rung.name for rung in RankingFitInputs.ladder(None, whole, ()).rungs] == ["all weights", "advised"]
    rows = [dataclasses.replace(row, fits="LoRA" in row.recipe) for row in whole.memory]
    monkeypatch.setattr(ranking_plan, "ranking_need_rows", lambda *words: rows)
    made = plan(spec(room, steps=True), QUIET)
    assert "LoRA(" in made.recipe
    assert [row.recipe for row in made.time] == [made.recipe]
    assert any("Plain training was not timed" in note for note in made.notes)
    ladder = RankingFitInputs.ladder(None, made, ())
    assert [rung.name for rung in ladder.rungs] == ["advised"]
    assert ladder.left_out == ("all weights: does not fit into memory.",)


def test_the_command_prints_facts_advice_and_what_to_type(room):
    shown = io.StringIO()
    show(plan(spec(room, easy=0), QUIET), console=Console(file=shown, width=80))
    text = " ".join(shown.getvalue().split())
    for words in ("BertForSequenceClassification", "40 queries to train on", "2 pairs are relevant", "Advice",
                  "loss:", "--loss listnet", "issue 3085", "holdfast train --config run.yaml"):  # fmt: skip
        assert words in text, words
    long = [line for line in shown.getvalue().splitlines() if len(line) > 80]
    assert all(":" in line for line in long), "only options with their values are longer"


def test_the_lengths_are_those_that_the_model_reads():
    model = encoders.encoder(double=False)
    entry = CandidateList("w1 w2", ("w3", "w4 w5"), (1.0, 0.0))
    features = model.preprocess([("w1 w2", "w3"), ("w1 w2", "w4 w5")])
    assert lengths_of([entry], model.tokenizer) == [features["attention_mask"].sum(1).tolist()]


def test_a_pair_contradicts_another_whatever_its_case():
    lists = [CandidateList("A b?", ("x", "y"), (1.0, 0.0)), CandidateList("a B", ("X!", "z"), (0.0, 1.0))]
    assert contradicting(lists) == {("a b", "x")}


def test_the_least_loss_falls_with_the_number_of_queries(room):
    suite = suite_of(read_collection(str(room / "general.jsonl"), []))
    few, many = (ranking_kept_row([part]).least_points for part in (suite_of(suite.collection.first(20)), suite))
    assert 1 < many < few < 50


def test_the_memory_is_that_of_weights_gradients_moments_and_the_base():
    model = encoders.encoder(double=False)
    count = sum(p.numel() for p in model.parameters())
    plain, held, small = ranking_need_rows(model, ["Train()", "BaseKL()", "LoRA() + BaseKL()"], 4, 10, 10**9)
    activations = 2 * 2 * 10 * 4 * (34 * 16 + 5 * 2 * 10)
    assert plain.bytes == 16 * count + activations
    assert held.bytes == plain.bytes + 4 * count
    assert small.trained == adapted(model[0].model) == 16 * 2 * (4 * 32 + 40 + 40) + 16 * 32
    assert not ranking_need_rows(model, ["Train()"], 4, 10, 1000)[0].fits


CASES = {
    "a penalty to the base, and old lists": ({"old": True}, {}),
    "a penalty to the base": ({"parameters": 700_000}, {}),
    "a low rate alone": ({}, {"old": True}),
    "an adapter where memory is short": ({"fits": ("adapter",)}, {}),
    "nothing fits": ({"fits": ()}, {}),
    "a loss over the list": ({}, {"comparable": 0.4}),
    "a loss on single documents": ({"comparable": 0.4}, {}),
    "the rate of the embedded reranker": ({"parameters": 700_000}, {}),
    "the rate of the study of MiniLM": ({}, {"parameters": 700_000}),
    "the rate that people use": ({"parameters": 300_000_000}, {}),
    "three passes for a tiny model": ({"parameters": 700_000}, {}),
    "one pass": ({}, {"parameters": 700_000}),
    "easy negatives stay in": ({"easy": 0}, {}),
    "doubtful negatives": ({"doubtful": 0.06}, {"doubtful": 0.04}),
    "copies of queries": ({"copies": 0.06}, {"copies": 0.04}),
    "contradicting judgments": ({"contradictions": 1}, {}),
    "leaks": ({"leaked": 1}, {}),
    "pairs that are cut": ({"cut": 0.06}, {}),
    "name what to keep": ({"least_points": None}, {}),
    "enough queries": ({"points": 1.0}, {"points": 2.0}),
    "both kinds of queries": ({}, {"least_points": None}),
    "compare before you trust": ({"first_right": 0.95}, {"first_right": 0.5}),
}


@pytest.mark.parametrize("rule", RANKING_RULES, ids=lambda rule: rule.name)
def test_a_rule_is_whole_and_fires_in_its_case_alone(rule):
    assert rule.evidence in EVIDENCE
    assert rule.topic in TOPICS
    assert rule.source
    if rule.evidence == "measured here":
        assert (ROOT / rule.source).is_file()
    if rule.evidence == "published":
        assert re.search(r"arXiv \d{4}\.\d{5}", rule.source)
    if rule.when == "always":
        return
    fires, silent = (dataclasses.replace(CASE, **changes) for changes in CASES[rule.name])
    assert rule.applies(fires)
    assert not rule.applies(silent)


@pytest.mark.parametrize(
    ("changes", "rate", "batch", "epochs"),
    [
        ({"parameters": 700_000, "lists": 1200}, 5e-4, 16, 3),
        ({"lists": 300}, 5e-5, 6, 1),
        ({"lists": 9000, "kind": "adapter"}, 5e-4, 16, 1),
        ({"parameters": 300_000_000, "lists": 20}, 2e-5, 1, 1),
    ],
    ids=["embedded", "MiniLM", "adapter", "large"],
)
def test_the_settings_follow_from_the_case(changes, rate, batch, epochs):
    values = rows_of(RANKING_RULES, dataclasses.replace(CASE, **changes))[1]
    assert (values["rate"], values["batch"], values["epochs"]) == pytest.approx((rate, batch, epochs))


def test_the_needed_queries_leave_room_in_the_budget():
    assert needed_queries(dataclasses.replace(CASE, points=0.5)) == 670


@pytest.mark.parametrize("fits", [("full", "adapter"), ("adapter",), ()])
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("parameters", [700_000, 22_000_000])
def test_one_rule_gives_the_recipe(fits, old, parameters):
    case = dataclasses.replace(CASE, fits=fits, old=old, parameters=parameters)
    rules = [rule for rule in RANKING_RULES if rule.topic == "recipe" and rule.applies(case)]
    assert len(rules) == 1


@pytest.mark.parametrize(
    ("kind", "parameters", "old", "recipe"),
    [
        ("full", 700_000, (), "Train(lr=0.0005, epochs=1) + BaseKL()"),
        ("full", 22_000_000, (), "Train(lr=0.0005, epochs=1)"),
        ("full", 22_000_000, ("old",), "Train(lr=0.0005, epochs=1) + BaseKL() + Rehearsal('old', ratio=0.2)"),
        ("adapter", 22_000_000, (), "Train(lr=0.0005, epochs=1) + LoRA() + BaseKL()"),
        ("none", 22_000_000, (), ""),
    ],
)
def test_the_recipe_follows_from_the_case(kind, parameters, old, recipe):
    case = dataclasses.replace(CASE, kind=kind, parameters=parameters)
    assert ranking_recipe(case, old, lr=5e-4, epochs=1) == recipe


@pytest.mark.parametrize("flag", ["forecast", "sizes"])
def test_what_is_for_language_models_is_refused(room, flag):
    with pytest.raises(HoldfastError, match=f"--{flag} is for language models"):
        plan(spec(room, **{flag: True}), QUIET)
