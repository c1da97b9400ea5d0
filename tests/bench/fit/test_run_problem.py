"""Trials as real runs: in this process and in their own, shared answers, and a whole search of a tiny model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from holdfast.bench.fit.price import PlainRun
from holdfast.bench.fit.run_problem import RunProblem
from holdfast.bench.fit.search import search
from holdfast.bench.fit.trials import Candidate
from holdfast.bench.measured.guard_split import NoValidationItems
from holdfast.bench.plan.facts import read_plan_inputs
from holdfast.bench.run.record import RunRecord

GIVEN = Candidate.of("Train(lr=1e-3, epochs=1)")


@pytest.fixture
def problem(shared):
    def make(*, isolated=False, **changes):
        spec = shared(**changes)
        plain = PlainRun.of(spec, read_plan_inputs(spec), epochs=1.0, batch=4)
        return RunProblem.of(spec, plain, isolated=isolated)

    return make


class TestIdentity:
    def test_it_differs_with_what_is_searched(self, problem, tmp_path):
        rows = tmp_path / "rows.jsonl"
        rows.write_text('{"prompt": "t20", "completion": "t21"}\n')
        changes = [{}, {"seed": 1}, {"budget": {"points": 3}}, {"max_length": 16}, {"data": str(rows)}]
        identities = [problem(**change).identity for change in changes]
        rows.write_text('{"prompt": "t20", "completion": "t22"}\n')
        identities.append(problem(data=str(rows)).identity)
        identities.append(
            dataclasses.replace(problem(), plain=dataclasses.replace(problem().plain, epochs=2.0)).identity
        )
        assert len({*identities}) == len(identities)

    def test_it_stays_with_what_is_not(self, problem):
        same = [problem(), problem(recipe="LoRA()"), problem(out="elsewhere"), problem(training={"max_steps": 3})]
        assert len({other.identity for other in same}) == 1

    def test_only_a_guard_that_goes_back_holds(self, problem):
        holds = {
            word: problem(budget={"points": 2, "on_spent": word}).holds for word in ("rewind", "stop", "hold", "log")
        }
        assert holds == {"rewind": True, "stop": False, "hold": False, "log": False}


def test_search_of_real_runs_shares_answers_and_reads_no_test_item(problem, tmp_path):
    runs = problem()
    result = search(runs, [GIVEN], cost=2.6, storage=tmp_path / "search.db", wait=0.01)
    rows = result.record.trials
    assert [row.fidelity == 1.0 for row in rows] == [True, *[False] * (len(rows) - 2), True]
    assert len(rows) > 2
    assert result.best in {Candidate.of(row.recipe) for row in (rows[0], rows[-1])}
    assert result.record.spent <= 2.6
    records = [RunRecord.read(row.outcome.folder) for row in rows]
    assert [record.judged_on is None for record in records] == [row.fidelity == 1.0 for row in rows]
    shared = Path(runs.spec.out) / "shared"
    assert len([*(shared / "base").glob("*/*.jsonl")]) == 2  # validation items of short trials, and all of whole runs
    assert len([*(Path(runs.spec.out) / "logs").glob("*.txt")]) == len(rows)


def test_another_model_in_the_same_folder_gives_its_own_answers(problem, trial_room, tmp_path):
    other = {"model": str(trial_room / "other")}
    alone = problem(out=str(tmp_path / "alone"), **other).evaluate(GIVEN, 0.5)
    assert problem().evaluate(GIVEN, 0.5).lost != alone.lost
    beside = problem(**other).evaluate(GIVEN, 0.5)
    assert (beside.learned, beside.lost, beside.used) == (alone.learned, alone.lost, alone.used)


class TestApart:
    def test_trial_in_its_own_process_is_the_same(self, problem, request, tmp_path):
        here = problem(out=str(tmp_path / "here")).evaluate(GIVEN, 0.5)
        request.getfixturevalue("worker")  # from here on, workers start warm
        apart = problem(isolated=True, out=str(tmp_path / "apart")).evaluate(GIVEN, 0.5)
        drop = {"folder": None, "seconds": None}
        assert dataclasses.replace(apart, **drop) == dataclasses.replace(here, **drop)
        assert Path(apart.folder).is_dir()

    def test_trial_whose_process_crashes_is_an_outcome(self, problem, worker):
        worker("import os\nw.train = lambda *args, **options: os.kill(os.getpid(), 9)\n")
        outcome = problem(isolated=True).evaluate(GIVEN, 0.5)
        assert outcome.state == "failed"
        assert "killed" in outcome.why
        assert outcome.cost == 0.5

    def test_lack_of_validation_items_ends_the_search(self, problem, worker, trial_room, tmp_path):
        worker()
        few = tmp_path / "few.jsonl"
        few.write_text("".join((trial_room / "keep.jsonl").read_text().splitlines(keepends=True)[:1]))
        with pytest.raises(NoValidationItems, match="--keep"):
            problem(isolated=True, keep=(str(few),)).evaluate(GIVEN, 0.5)
