"""`--recipe auto`: the plan's recipe, refused without a budget, kept in the run's folder, and steered."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

import holdfast
from holdfast.bench.given.specs import PlanSpec, RunSpec
from holdfast.bench.plan import auto
from holdfast.bench.plan.auto import recipe_of, train_planned
from holdfast.bench.plan.plan import plan
from holdfast.bench.plan.record import PlanRecord
from holdfast.bench.run.early_checks import check_early
from holdfast.bench.run.record import RunRecord
from holdfast.bench.run.run import train
from holdfast.cli.main import main
from holdfast.core.errors import HoldfastError
from holdfast.recipe import parse
from holdfast.report.table import show
from holdfast.train.settings import train_of

QUIET = Console(file=io.StringIO())


@pytest.fixture
def spec(room, tmp_path):
    def make(**changes):
        fields = {
            "model": str(room / "model"), "data": str(room / "more.jsonl"), "keep": (str(room / "texts.txt"),),
            "memory": (f"old={room / 'old.jsonl'}",), "recipe": "auto", "budget": {"nll": 5.0, "every": 2},
            "out": str(tmp_path / "runs"), "name": "run", "max_length": 64, "batch_size": 4,
        }  # fmt: skip
        return RunSpec(**{**fields, **changes})

    return make


def test_without_a_budget_it_is_refused_with_the_mend(spec):
    with pytest.raises(HoldfastError, match=r"--recipe auto .* give --budget points=2, or name a recipe"):
        spec(budget={})


def test_a_reranker_is_refused_with_the_mend(spec):
    with pytest.raises(HoldfastError, match="--recipe auto follows a plan for language models; name the recipe"):
        train_planned(spec(task="rerank", budget={"points": 2}))


def test_its_recipe_is_that_of_the_plan_and_the_guard_steers(spec):
    given = spec()
    check_early(given)
    planned = plan(PlanSpec(
        model=given.model, data=given.data, keep=given.keep, memory=given.memory, budget=given.budget,
        max_length=64, batch_size=4, steps=False,
    ), QUIET)  # fmt: skip
    console = Console(record=True, file=io.StringIO(), width=300)
    assert recipe_of(given, console) == planned.recipe
    assert "Recipe auto: " in console.export_text()
    assert given.guard().on_spent == "steer"
    assert spec(budget={"nll": 5.0, "on_spent": "stop"}).guard().on_spent == "stop"
    assert spec(recipe="Holdfast('old')").guard().on_spent == "rewind"


def test_it_trains_and_its_folder_holds_the_recipe_its_settings_and_the_course(spec, monkeypatch):
    done = train_planned(spec(), Console(quiet=True))
    kept = json.loads((done.folder / "spec.json").read_text())
    assert kept["recipe"] == "auto"
    recipe = parse(kept["resolved_recipe"])
    assert train_of(recipe).lr == kept["resolved"]["learning_rate"]
    assert {"BaseKL", "Rehearsal", "WSD"} <= {type(part).__name__ for part in recipe.methods}
    guard = RunRecord.read(done.folder).guard
    assert guard.on_spent == "steer"
    assert guard.course[-1].step == done.record.steps
    assert guard.course[-1].kl_nats >= 0
    out = Console(record=True, file=io.StringIO(), width=200)
    show(done, out)
    assert "budget used  estimate" in out.export_text()
    monkeypatch.setattr(auto, "plan", lambda *_: pytest.fail("a run that has begun is not planned again"))
    again = train_planned(spec(), Console(quiet=True))
    assert again.record == RunRecord.read(done.folder)
    assert holdfast.report(runs=(str(done.folder.parent),)) is not None


def test_where_nothing_can_be_watched_it_is_refused(spec, room, tmp_path):
    few = tmp_path / "few.txt"
    few.write_text("t30 t31")
    with pytest.raises(HoldfastError, match="cannot be held inside its budget. No suite has items for both"):
        train_planned(spec(keep=(str(few),)), Console(quiet=True))


def test_where_no_recipe_fits_it_says_so(spec, monkeypatch):
    nothing = PlanRecord.from_dict({**plan(PlanSpec(**_planned(spec())), QUIET).to_dict(), "recipe": ""})
    monkeypatch.setattr(auto, "plan", lambda *_: nothing)
    with pytest.raises(HoldfastError, match="--recipe auto: "):
        train_planned(spec(), Console(quiet=True))


def _planned(given):
    return {name: getattr(given, name) for name in ("model", "data", "keep", "memory", "budget", "max_length")} | {
        "steps": False
    }


def test_the_plain_function_names_the_planned_one(spec):
    with pytest.raises(HoldfastError, match="call holdfast.fine_tune, or name a recipe"):
        train(spec(), Console(quiet=True))


def test_a_dry_run_shows_the_recipe_of_the_plan_and_trains_nothing(room, tmp_path, capsys):
    words = ["train", "--model", room / "model", "--data", room / "more.jsonl", "--keep", room / "texts.txt"]
    words += [
        "--memory",
        f"old={room / 'old.jsonl'}",
        "--recipe",
        "auto",
        "--max-length",
        64,
        "--out",
        tmp_path / "runs",
    ]
    assert main([*map(str, words), "--budget", "nll=5", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "Recipe auto: train all weights, on old examples too" in shown.replace("\n", " ")
    assert "Rehearsal" in shown
    assert not (tmp_path / "runs").exists()
    assert main([*map(str, words), "--dry-run"]) == 1
    assert "give --budget points=2, or name a recipe" in capsys.readouterr().err
