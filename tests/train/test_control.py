"""What the guard decides from what it saw: each rule by hand, and laws that hold for any looks."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.budget import Budget
from holdfast.train.control import MOST, REWINDS, Look, Standing, most_promising, pulled, standing, used_by


def seen(*points, learned=None, beyond=()):
    known = learned or [math.nan] * len(points)
    return [Look(10 * (i + 1), {"points": p}, i in beyond, known[i]) for i, p in enumerate(points)]


def after(points, on_spent="stop", **given):
    return standing(seen(*points, **given), Budget(points=2), on_spent)


def test_the_share_used_is_that_of_the_unit_that_is_worst_off_and_never_below_zero():
    both = Budget(points=2, nll=0.1)
    assert used_by(Look(1, {"points": 1.0, "nats": 0.2}), both) == pytest.approx(2.0)
    assert used_by(Look(1, {"points": -5.0}), both) == 0.0
    assert used_by(Look(1, {"points": 5.0, "nats": 1.0}), Budget(nll=0.5)) == pytest.approx(2.0)


def test_the_estimate_is_smoothed_from_nothing_lost():
    assert after([2.0]).smoothed == pytest.approx(0.5)
    assert after([2.0, 4.0]).smoothed == pytest.approx(1.25)
    assert (after([3.0]).spent, after([3.0, 3.0]).spent) == (False, True)
    assert after([4.1]).spent, "what is far above acts at once"


def test_a_model_that_was_pulled_back_counts_by_itself_and_is_not_acted_on():
    budget, over = Budget(points=2), seen(3.0)
    back = dataclasses.replace(over[0], lost={"points": 1.9}, share=0.6)
    now = standing([*over, back], budget, "rewind")
    assert (now.best, now.spent, now.rewinds, now.smoothed) == (1, False, 0, pytest.approx(0.95))
    still = standing([*over, dataclasses.replace(back, lost={"points": 9.0})], budget, "rewind")
    assert (still.best, still.spent, still.rewinds) == (None, True, 0)


@given(st.floats(0.01, 1.0), st.floats(1.0, 1e6))
def test_a_pull_leaves_less_and_less_the_more_was_lost(share, used):
    assert 0 < pulled(share, used) <= 0.9 * share
    assert pulled(share, 2 * used) <= pulled(share, used)


def test_the_most_promising_model_is_the_one_that_learns_most_once_it_is_pulled_back():
    budget = Budget(points=2)
    assert most_promising(seen(2.2, 4.0, learned=[30.0, 90.0]), 10.0, budget) == 1, "20 times 0.85, 80 times 0.63"
    assert most_promising(seen(2.2, 99.0, learned=[30.0, 90.0]), 10.0, budget) == 0
    assert most_promising(seen(4.0, 3.0), math.nan, budget) == 1, "where nothing measures the task"
    assert most_promising(seen(math.inf, math.inf, learned=[30.0, 90.0]), 10.0, budget) is None
    assert most_promising(seen(3.0, learned=[5.0]), 10.0, budget) is None, "nothing was learned"


def test_a_loss_that_is_over_only_in_the_past_does_not_spend():
    assert after([4.0, 6.0, 1.0]).smoothed > 1
    assert not after([4.0, 6.0, 1.0], on_spent="log").spent


def test_a_suite_that_is_beyond_for_certain_spends_whatever_the_mean_is():
    assert after([0.0], beyond=[0]).spent
    assert after([0.0], beyond=[0]).best is None


def test_a_stop_stays_and_a_log_never_ends():
    assert after([9.0, 0.0, 0.0]).ended
    assert not after([9.0] * 9, on_spent="log").ended


def test_the_best_learner_is_the_one_inside_that_knows_most_not_the_last_nor_the_earliest():
    assert after([1.0, 1.0, 1.0, 9.0], learned=[30.0, 80.0, 70.0, 99.0]).best == 1
    assert after([1.0, 1.0, 1.0]).best == 2, "the later, where nothing shows what is learned"
    assert after([1.0, 1.0], learned=[50.0, 50.0]).best == 1, "the later of equals"
    assert after([9.0, 9.0]).best is None


def test_a_rewind_goes_on_from_what_was_smoothed_there_and_ends_after_some():
    looks = [1.0, 9.0, 1.0]
    found = after(looks, "rewind")
    assert (found.rewinds, found.ended, found.best) == (1, False, 2)
    assert found.smoothed == pytest.approx((after([1.0]).smoothed + 0.5) / 2)
    assert not after([9.0] * REWINDS, "rewind").ended
    assert after([9.0] * (REWINDS + 1), "rewind").ended


def test_a_penalty_is_raised_while_spent_kept_between_and_let_out_below_half():
    assert after([9.0], "hold").hold == 2
    assert after([9.0, 9.0], "hold").hold == 4
    assert after([9.0] * 20, "hold").hold == MOST
    assert after([9.0, 1.5, 1.5, 1.5], "hold").hold == 2, "between half the budget and the whole it stays"
    assert after([9.0, *[0.0] * 8], "hold").hold == 1
    assert after([0.0] * 5, "hold").hold == 1
    assert not after([9.0] * 20, "hold").ended


def test_a_loss_without_bound_spends_and_is_forgotten_when_it_is_gone():
    assert after([math.inf], "log").spent
    found = after([math.inf, 1.0], "log")
    assert (found.spent, found.smoothed, found.best) == (False, 0.5, 1)


losses = st.lists(st.floats(-5, 20), max_size=20)


@given(losses, st.sampled_from(["rewind", "stop", "hold", "log"]), st.integers(0, 20))
def test_looks_are_folded_one_by_one(points, on_spent, cut):
    """What a resumed run computes from the looks in its checkpoint is what the run would have known."""
    budget = Budget(points=2)
    looks = seen(*points)
    assert standing(looks[:cut], budget, on_spent) == standing([*looks][:cut], budget, on_spent)
    if cut <= len(looks):
        assert standing(looks[:cut], budget, on_spent).rewinds <= standing(looks, budget, on_spent).rewinds


@given(losses)
def test_the_best_is_always_inside_the_budget(points):
    found = standing(seen(*points), Budget(points=2), "log")
    assert found.best is None or points[found.best] <= 2


@given(st.lists(st.floats(-5, 2), max_size=20), st.sampled_from(["rewind", "stop", "hold", "log"]))
def test_a_budget_that_no_look_exceeds_is_never_spent(points, on_spent):
    found = standing(seen(*points), Budget(points=2), on_spent)
    assert (found.ended, found.rewinds, found.hold) == (False, 0, 1.0)


def test_nothing_seen_is_nothing_used():
    assert dataclasses.asdict(standing([], Budget(points=2), "rewind")) == dataclasses.asdict(Standing())
