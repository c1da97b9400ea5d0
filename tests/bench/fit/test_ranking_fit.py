"""A fit of a tiny reranker: its stages, its search, its healing, and its price."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from holdfast.bench.fit.fit import fit
from holdfast.bench.fit.fit_record import FitRecord
from holdfast.bench.fit.full_run import FullRun, healed
from holdfast.bench.fit.ranking_inputs import read_ranking_fit_inputs
from holdfast.bench.fit.ranking_price import RankingPlain
from holdfast.bench.fit.search_record import SearchRecord
from holdfast.bench.fit.trials import Candidate
from holdfast.bench.given.fit_spec import FitSpec
from holdfast.bench.plan.ranking.ranking_record import RankingPlanRecord
from holdfast.bench.run.run import RunRecord
from holdfast.core.errors import HoldfastError
from holdfast.report.fit import show
from holdfast.rerank.loading import load_reranker
from tests.bench.heal.test_heal_rerankers import lists
from tests.bench.plan.test_ranking_plan import written
from tests.rerank import encoders

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    room = tmp_path_factory.mktemp("fit")
    for seed, (name, count) in enumerate({"legal": 40, "test": 60, "old": 12}.items()):
        written(room / f"{name}.jsonl", count, seed)
    lists(room / "general.jsonl", encoders.folder(), 60, 3)
    return room


def spec(room, out, **changes):
    given = {
        "model": encoders.folder(),
        "data": str(room / "legal.jsonl"),
        "test": str(room / "test.jsonl"),
        "keep": (str(room / "general.jsonl"),),
        "memory": (f"old={room}/old.jsonl",),
        "budget": {"points": 40},
        "max_length": 48,
        "search": False,
        "out": str(out),
    }
    return FitSpec(**{**given, **changes})


def test_a_fit_plans_trains_with_a_guard_and_judges(room, tmp_path):
    out, shown = tmp_path / "fit", io.StringIO()
    record = fit(spec(room, out), QUIET)
    rows = {row.name: row for row in record.stages}
    assert [row.name for row in record.stages if row.done] == ["plan", "run"]
    assert "a tenth of a reranker's queries misjudges the full run" in rows["pilot"].sentence
    assert rows["run"].spent == pytest.approx(record.cost.spent)
    assert 1.6 < record.cost.spent < 1.75, "a fifth of the rows is old, and the base reads all"
    assert record.verdict is not None
    assert record.ranking["general"].metrics["nDCG@10"].after > 0
    assert RunRecord.read(record.run).guard.watched == ("general", "test")
    assert load_reranker(record.model).score([("w1", "w2")]).shape == (1,)
    assert "nDCG@10 on the test queries is" in record.sentence
    show(record, Console(file=shown, width=80))
    assert "nDCG@10 times 100" in shown.getvalue()
    assert FitRecord.read(out) == record
    again = fit(spec(room, out), QUIET)
    assert again == record, "a finished fit is only read"


@pytest.mark.slow
def test_a_search_tries_shorter_runs_on_validation_queries(room, tmp_path):
    record = fit(spec(room, tmp_path / "fit", search=True, cost="5x", memory=()), QUIET)
    came = SearchRecord.read(tmp_path / "fit")
    assert {row.name for row in record.stages if row.done} >= {"plan", "search"}
    assert len({trial.fidelity for trial in came.trials}) > 1
    recipes = {trial.recipe.partition(" + ")[2] for trial in came.trials}
    assert {"", "BaseKL()"} <= recipes, "plain training, and the advised recipe"
    assert came.spent <= 5
    short = next(trial for trial in came.trials if trial.fidelity < 1 and trial.outcome.folder)
    assert RunRecord.read(short.outcome.folder).judged_on == "validation items"


def test_a_plan_that_advises_plain_training_is_one_candidate(room, tmp_path, monkeypatch):
    monkeypatch.setattr("holdfast.bench.plan.ranking.ranking_rules.TINY", 0)
    record = fit(spec(room, tmp_path / "fit", memory=()), QUIET)
    plan = RankingPlanRecord.read(tmp_path / "fit")
    assert plan.recipe == plan.plain
    assert Candidate.of(record.recipe) == Candidate.of(plan.plain)
    assert len(plan.time) == 1
    assert len(list((tmp_path / "fit" / "runs").glob("*/result.json"))) == 1
    assert 0.9 < record.cost.spent < 1.1
    assert record.verdict is not None


def test_a_full_run_outside_the_budget_is_healed(room, tmp_path, monkeypatch):
    advised = "Train(lr=0.05, epochs=2, batch=8)"
    monkeypatch.setattr("holdfast.bench.plan.ranking.ranking_plan.ranking_recipe", lambda *a, **more: advised)
    budget = {"points": 3, "on_spent": "log"}
    record = fit(spec(room, tmp_path / "fit", budget=budget, memory=()), QUIET)
    assert record.used > 1
    assert record.healed
    assert "healed-" in record.model
    assert record.stages[-1].name == "heal"
    lost = [
        next(row.change for row in rows if row.name == "general")
        for rows in (record.suites, RunRecord.read(record.run).suites)
    ]
    assert lost[0] > lost[1]
    without = fit(spec(room, tmp_path / "plain", budget=budget, memory=(), heal=False), QUIET)
    assert not without.healed


def test_a_healing_retrains_with_old_lists_if_their_cost_is_left(room, tmp_path, monkeypatch):
    asked = []

    def stopped(heal_spec, console, run):
        asked.append(heal_spec)
        raise HoldfastError("stopped")

    monkeypatch.setattr("holdfast.bench.fit.full_run.heal", stopped)
    came = FullRun(None, "Train()", tmp_path / "run", "model", 2.0, 1.0, 1.0, "", tmp_path)
    plain = RankingPlain(lists=100, tokens=50.0, old={"old": 50.0}, epochs=2.0, batch=16)
    for memory, left in ((spec(room, tmp_path).memory, 5.0), (spec(room, tmp_path).memory, 0.1), ((), 5.0)):
        given = spec(room, tmp_path, memory=memory)
        with pytest.raises(HoldfastError, match="stopped"):
            healed(came, given, given.run(out=str(tmp_path)), plain, left, tmp_path, QUIET)
    assert [one.memory for one in asked] == [(f"old={room}/old.jsonl",), (), ()]


def test_the_price_counts_tokens_passes_and_what_the_base_reads():
    plain = RankingPlain(lists=100, tokens=50.0, old={"a": 100.0, "b": 20.0}, epochs=2.0, batch=16)
    price = {
        text: plain.price(Candidate.of(f"Train(epochs=2){text}"))
        for text in ("", " + BaseKL()", " + LoRA()", " + Rehearsal('a', ratio=0.5)", " + Rehearsal('a, b', ratio=0.2)")
    }
    assert list(price.values()) == pytest.approx([1, 4 / 3, 2.5 / 3, 3, (50 + 60 * 0.25) / 50])
    assert plain.price(Candidate.of("Train(epochs=1)"), 0.5) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"keep": ()}, "name the files to keep with --keep"),
        ({"budget": {"nll": 0.1}}, "nll"),
        ({"cost": "0.1x"}, "does not suffice"),
    ],
    ids=["no keep", "nats", "cost"],
)
def test_a_fit_that_nothing_could_judge_or_pay_is_refused(room, tmp_path, changes, sentence):
    with pytest.raises(HoldfastError, match=sentence):
        fit(spec(room, tmp_path / "fit", **changes), QUIET)


def test_a_collection_with_one_side_is_refused(room, tmp_path):
    written(tmp_path / "one.jsonl", 1, 9)
    with pytest.raises(HoldfastError, match=r"one \(1\)"):
        read_ranking_fit_inputs(spec(room, tmp_path, keep=(str(tmp_path / "one.jsonl"),)))
