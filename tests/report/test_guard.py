"""What is said of a guard."""

from __future__ import annotations

import dataclasses
import math

from holdfast.bench.run.record import AlertRow, AskedRow, CourseRow, GuardLearned, GuardRow, LookRow
from holdfast.report.guard import guard_lines

LOOKS = (LookRow(step=50, points_lost=0.4, learned=60.0), LookRow(step=100, points_lost=1.2, learned=81.0))
QUIET = GuardRow(
    on_spent="rewind", spent_at=(), rewinds=0, model_of=None, hold=1.0, learned=GuardLearned(), failed=0, looks=LOOKS,
    every_steps=50, seconds=1.0, asked=AskedRow(kept=9, learned=9), watched=("old",),
)  # fmt: skip


def said(training=100.0, **changes):
    return guard_lines(dataclasses.replace(QUIET, **changes), training)


def test_it_says_how_often_it_looked_and_at_what_cost():
    assert said() == [
        "Guard: looked 2 times, every 50 steps, which took 1% of the training time.",
        "  At the end: 1.2 points lost, 81.0 learned on the validation items.",
    ]
    assert said(training=10)[0].endswith(
        "took 10% of the training time. Fewer items (items=) or rarer looks (every=) take less time."
    )


def test_a_loss_that_rounds_to_nothing_has_no_sign():
    look = LookRow(step=9, points_lost=-0.04, nats_lost=-0.0, learned=5.0)
    assert ": 0.0 points and 0.000 nats per token lost" in said(looks=(look,))[1]


def test_it_names_the_symptoms_that_looks_showed():
    alert = AlertRow(step=50, name="loops", family="verbosity collapse", effect=30.0, sentence="33% repeat [x]")
    assert said(alerts=(alert,))[-1] == "  Alert at step 50: loops: 33% repeat \\[x]."


def test_it_says_where_it_went_back_to():
    assert said(spent_at=(100,), model_of=50)[1:] == [
        "  The budget was spent at step 100: the guard went back, and halved the learning rate.",
        "  The model is from step 50: 0.4 points lost, 60.0 learned on the validation items.",
    ]
    assert said(spent_at=(50, 100), model_of=0)[1:] == [
        "  The budget was spent at steps 50, 100: the guard went back, and halved the learning rate.",
        "  The model is the one before training: no look was within the budget.",
    ]


def test_it_says_how_far_it_pulled_the_model_back():
    back = LookRow(step=100, points_lost=1.2, learned=70.0, share=0.625)
    assert said(looks=(*LOOKS, back))[1] == (
        "  At the end, pulled back to 62% of the change of the weights: 1.2 points lost, 70.0 learned on the validation"
        " items."
    )


def test_it_says_what_else_was_done():
    assert said(on_spent="stop", spent_at=(100,))[1].endswith("at step 100: training ended.")
    assert said(on_spent="log", spent_at=(100,))[1].endswith("at step 100: training went on.")
    assert said(on_spent="hold", spent_at=(50,), hold=4.0)[1].endswith(
        "the penalty to the base model ended at 4 times its strength."
    )


def test_texts_are_said_in_nats():
    look = LookRow(step=9, nats_lost=0.01, learned=-1.5)
    assert (
        said(looks=(look,))[1]
        == "  At the end: 0.010 nats per token lost, 1.500 nats to learn on the validation items."
    )
    assert "no finite number lost" in said(looks=(LookRow(step=9, nats_lost=math.inf),))[1]


def test_it_shows_what_a_controller_saw_and_set_at_each_look():
    course = (
        CourseRow(step=45, kl_nats=0.01, strength=1.0, old_share=0.5, rate=1.0),
        CourseRow(
            step=50, kl_nats=0.0213, used_share=0.2, estimate_share=0.11, strength=0.5, old_share=0.44, rate=1.41
        ),
        CourseRow(step=100, used_share=math.inf, estimate_share=0.9, rate=0.25),
    )
    lines = said(on_spent="steer", course=course)
    assert [line.split() for line in lines[2:]] == [
        ["step", "budget", "used", "estimate", "KL", "penalty", "old", "examples", "learning", "rate"],
        ["50", "20%", "11%", "0.021", "x0.5", "44%", "x1.4"],
        ["100", "inf%", "90%", "-", "-", "-", "x0.25"],
    ]
    spent = said(on_spent="steer", spent_at=(100,), course=course)[1]
    assert spent.endswith("at step 100: the guard went back, and held the run back more.")
