"""What a guard says when a run is over: what it did, how much of the learning is left, and what to try next."""

from __future__ import annotations

import dataclasses
import math

import pytest

from holdfast.core.budget import Budget
from holdfast.train.control import Look
from holdfast.train.guard_words import GuardReport, summary

ADVICE = "lower the learning rate (Train(lr=...)), add old examples (Rehearsal(...)), or allow more (Budget(points=4))"


def told(*seen, started=10.0, budget=None, on_spent="rewind", **changes):
    """A run whose looks, ten steps apart, saw these points lost and this much known of the task."""
    looks = [Look(10 * (i + 1), {"points": lost}, False, known) for i, (lost, known) in enumerate(seen)]
    step = changes.pop("step", 10 * len(looks))
    return GuardReport(
        looks, budget or Budget(points=2), on_spent, step, changes.pop("steps", step), started, **changes
    )


def test_a_run_that_was_taken_back_to_the_start_again_and_again_is_no_success():
    run = told((30, 90), (20, 60), (12, 40), (9, 30), (0.5, 14.8), (0.5, 14.8))
    assert run.model_of is None, "the last look is the best that is inside the budget"
    assert run.sentence() == f"The guard went back to the start 4 times and kept 6% of what was learned: {ADVICE}."
    assert run.learned == {"start": 10.0, "most": 90, "shipped": 14.8, "share": pytest.approx(0.06)}


def test_to_the_reader_of_the_command_line_it_names_flags():
    run = told((30, 90), (0, 14.8), flags=True)
    assert run.sentence().endswith("add old examples (--memory), or allow more (--budget points=4).")
    both = told((30, 90), (0, 14.8), budget=Budget(points=2, nll=0.02), flags=True)
    assert both.sentence().endswith("allow more (--budget points=4 nll=0.04).")
    most = told((99, 90), (99, 90), (0, 14.8), budget=Budget(points=60))
    assert most.sentence().endswith("lower the learning rate (Train(lr=...)) or add old examples (Rehearsal(...)).")


@pytest.mark.parametrize(
    ("seen", "did"),
    [
        ([(30, 90), (30, 80), (30, 70), (30, 60), (30, 50)], "went back to the start 5 times"),
        ([(30, 90)], "went back to the start once"),
        ([(3, 50)], "found the budget overdrawn at every look"),
    ],
)
def test_where_the_model_of_the_start_is_shipped_it_says_so_plainly(seen, did):
    run = told(*seen)
    assert run.model_of == 0
    assert run.sentence() == (
        f"The guard {did} and ships the model of the start, so nothing that was learned is kept: {ADVICE}."
    )
    assert run.learned["share"] == 0


def test_a_model_that_was_pulled_back_is_named_by_its_share():
    run = told((3, 90))
    back = dataclasses.replace(run.looks[0], lost={"points": 1.5}, learned=74.0, share=0.7)
    run = dataclasses.replace(run, looks=[*run.looks, back])
    assert run.sentence() == (
        "The guard found the budget overdrawn at every look and ships 70% of the change of the weights, which is inside"
        f" the budget and has 80% of what was learned: {ADVICE}."
    )
    assert run.spent == {}
    assert [row.get("share") for row in summary(run)["looks"]] == [None, 0.7]


def test_an_earlier_model_is_named_by_its_step_and_share():
    run = told((1, 60), (30, 90), (30, 95), (1, 50), (1, 50))
    assert run.sentence() == (
        "The guard went back 2 times, ships the model of step 10, the best learner seen inside the budget, and kept"
        f" 59% of what was learned: {ADVICE}."
    )
    unknown = told((1, math.nan), *[(30, math.nan)] * 5, started=math.nan)
    assert "kept" not in unknown.sentence()
    assert unknown.learned == {}


def test_a_run_that_keeps_most_of_what_it_learned_needs_no_advice():
    assert told((1, 60), (30, 90), (1.2, 88), (1.3, 90)).sentence() == (
        "The guard went back once and kept 100% of what was learned."
    )
    assert told((0, 50), (0.4, 70)).sentence() == "The guard looked 2 times and had nothing to do."


def test_what_the_other_ways_to_act_did_is_said():
    spent = [(1, 40), (9, 70)]
    assert told(*spent, on_spent="stop", steps=90).sentence() == (
        "The guard stopped the training at step 20 of 90, where the budget was spent, and the model is the one that"
        f" spent it: {ADVICE}."
    )
    assert told(*spent, on_spent="log").sentence() == (
        f"The guard found the budget spent at 1 of 2 looks and did nothing (on_spent=log): {ADVICE}."
    )
    assert told(*spent, on_spent="hold").sentence() == (
        "The guard raised the penalty to the base model to 2 times its strength, and the last look still found the"
        f" budget overdrawn: {ADVICE}."
    )
    assert (
        told(*spent, (1, 60), (0, 60), on_spent="hold").sentence().endswith("and the last look was inside the budget.")
    )


def test_a_guard_that_saw_nothing_says_that_nothing_held_the_model():
    assert (
        told(failed=3).sentence().startswith("The guard tried to look 3 times and failed, so nothing held this model")
    )
    assert told().sentence() == "The guard never looked, so nothing held this model to the budget."
    assert told((0, 50), failed=1).sentence().endswith("One more look failed.")


def test_a_model_that_no_look_saw_is_named():
    assert (
        told((0, 50), (0, 70), step=27)
        .sentence()
        .endswith("The guard did not look at the model of step 27: its last look was at step 20.")
    )
    assert "did not look at" not in told((1, 60), (30, 90), step=27).sentence(), "an earlier model is shipped"


def test_the_summary_is_json_with_what_is_known():
    found = summary(told((math.inf, math.nan), (1, 50)))
    assert found["looks"][0] == {"step": 10, "points_lost": None, "beyond": False}
    assert (found["rewinds"], found["spent_at"], found["model_of"], found["failed"]) == (1, [10], None, 0)
    assert found["learned"]["share"] == 1.0
    assert found["sentence"] == told((math.inf, math.nan), (1, 50)).sentence()
