"""Graded answers: an interval that is wide enough where few items move."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.stats.flips import flips
from holdfast.stats.graded import graded
from holdfast.stats.verdict import judge


@given(st.integers(0, 10_000), st.integers(2, 60), st.booleans())
def test_of_scores_of_0_and_1_it_is_what_flips_say(seed, n, grouped):
    rng = np.random.default_rng(seed)
    before, after = rng.integers(0, 2, n), rng.integers(0, 2, n)
    groups = rng.integers(0, max(2, n // 3), n).tolist() if grouped else None
    one, other = graded(before, after, groups), flips(before, after, groups)
    assert one.size == pytest.approx(1.0)
    assert one.change == pytest.approx(other.change)
    assert one.interval() == pytest.approx(other.interval(), abs=1e-9)
    for change in (-0.3, -0.02, 0.0, 0.1):
        if not math.isinf(other.statistic(change)):
            assert one.statistic(change) == pytest.approx(other.statistic(change), abs=1e-7)


def test_values_worked_by_hand():
    found = graded([1.0, 0.5, 0.0, 1.0], [0.5, 0.5, 0.25, 1.0])
    assert (found.fell, found.rose, found.change) == pytest.approx((0.5, 0.25, -0.0625))
    # Moves of 1/2 and 1/4, beside two of 1; in one group, they are one.
    assert found.size == pytest.approx((1 / 4 + 1 / 16 + 2) / (1 / 2 + 1 / 4 + 2))
    together = graded([1.0, 0.5, 0.0, 1.0], [0.5, 0.5, 0.25, 1.0], ["a", "b", "a", "b"])
    assert together.size == pytest.approx(((1 / 4 + 1 / 16) / 2 + 2) / ((1 / 2 + 1 / 4) / 2 + 2))


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_where_nothing_moves_it_has_the_width_that_flips_have(n):
    same = np.full(n, 0.5)
    assert graded(same, same).interval() == pytest.approx(flips(np.ones(n), np.ones(n)).interval())
    assert judge(graded(same, same), 0.02).word == "not enough evidence"


@given(st.integers(0, 10_000), st.integers(2, 40), st.floats(0.01, 1.0))
def test_the_interval_holds_what_was_observed_and_shrinks_with_the_moves(seed, n, most):
    rng = np.random.default_rng(seed)
    before = rng.uniform(most, 1, n)
    found = graded(before, before - rng.uniform(0, most, n))
    low, high = found.interval()
    assert -1 <= low <= found.change <= high <= 1
    assert most / 4 < found.size <= 1


@pytest.mark.parametrize("n", [20, 60, 300])
def test_items_that_all_move_a_little_hide_no_few_that_lose_everything(n):
    """Two points, as allowed; the t interval says kept in 63, 30 and 10% of the cases."""
    rng = np.random.default_rng(1)
    kept = 0
    for _ in range(400):
        after = np.where(rng.random(n) < 0.02 / 0.95, 0.0, 0.95 + rng.uniform(-0.05, 0.05, n))
        kept += judge(graded(np.full(n, 0.95), after), 0.02).word == "kept"
    assert kept / 400 < 0.09


@pytest.mark.parametrize("n", [20, 100, 300])
def test_what_is_at_the_border_is_not_called_kept_more_than_one_time_in_twenty(n):
    """Half a score lost by one item in twenty-five is two points, exactly what is allowed; the t interval says kept in
    44, 9 and 9% of the cases."""
    rng = np.random.default_rng(0)
    kept = 0
    for _ in range(400):
        before = rng.choice([0.5, 0.8, 1.0], n)
        after = np.where(rng.random(n) < 0.04, before - 0.5, before)
        kept += judge(graded(before, after), 0.02).word == "kept"
    assert kept / 400 < 0.07


def test_one_group_says_nothing_and_what_is_no_share_is_refused():
    found = graded([0.5, 0.7], [0.1, 0.2], ["a", "a"])
    assert found.interval() == (-1.0, 1.0)
    assert found.statistic(0.3) == 0.0
    assert judge(found, 0.02).p_forgot == pytest.approx(0.5)
    for wrong in ([0.5, 1.2], [-0.1, 0.5], [math.nan, 0.5]):
        with pytest.raises(HoldfastError, match="Every score must be from 0 to 1"):
            graded([0.5, 0.5], wrong)
    with pytest.raises(HoldfastError, match="There is no item to compare"):
        graded([], [])
