"""What is lost at equal learning, who is beaten by nobody, and how much of the plane is covered."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.stats.frontier import hypervolume, lost_at, on_front

numbers = st.floats(-5, 100, allow_nan=False)


def test_between_doses_it_is_a_straight_line_from_the_base():
    assert lost_at([10.0, 20.0], [2.0, 8.0], 5.0) == pytest.approx(1.0)
    assert lost_at([10.0, 20.0], [2.0, 8.0], 15.0) == pytest.approx(5.0)
    assert lost_at([10.0, 20.0], [2.0, 8.0], 20.0) == pytest.approx(8.0)
    assert lost_at([10.0, 20.0], [2.0, 8.0], 0.0) == 0.0


def test_beyond_the_last_dose_nothing_is_said():
    assert math.isnan(lost_at([10.0, 20.0], [2.0, 8.0], 20.1))


def test_the_base_is_part_of_the_fit_and_has_lost_nothing():
    """A gain at a low dose is no price that a later one can spend: more is never had for less than nothing."""
    assert lost_at([10.0], [-4.0], 9.5) == 0.0
    assert lost_at([5.0, 40.0], [-3.0, 5.0], 2.5) == 0.0
    assert lost_at([5.0, 40.0], [-3.0, 5.0], 5.0) == 0.0
    assert lost_at([5.0, 40.0], [-3.0, 5.0], 22.5) == pytest.approx(2.5)
    assert lost_at([-5.0, 40.0], [1.0, 5.0], 20.0) == pytest.approx(1.0 + 0.5 * 4.0)


@pytest.mark.parametrize(
    ("learned", "lost", "goal", "price"),
    [
        ([10.0, 40.0, 20.0], [1.0, 5.0, 30.0], 38.0, 1 + 28 / 30 * 4),
        ([10.0, 60.0, 12.0], [1.0, 8.0, 30.0], 35.0, 4.5),
        ([10.0, 40.0, 5.0], [1.0, 5.0, 30.0], 20.0, 1 + 4 / 3),
        ([10.0, 40.0, 39.0, -5.0], [1.0, 5.0, 80.0, 2.0], 40.0, 5.0),
    ],
)
def test_a_dose_that_went_too_far_says_nothing_of_those_below(learned, lost, goal, price):
    assert lost_at(learned, lost, goal) == pytest.approx(price)
    top = learned.index(max(learned)) + 1
    assert lost_at(learned, lost, goal) == lost_at(learned[:top], lost[:top], goal)


def test_the_dose_that_learns_most_reaches_what_it_learned():
    assert lost_at([10.0, 40.0, 20.0], [1.0, 5.0, 30.0], 40.0) == 5.0
    assert lost_at([30.0, 20.0], [4.0, 2.0], 26.0) == pytest.approx(4 * 26 / 30)


def test_a_dose_below_the_best_that_falls_is_pooled_with_the_one_before():
    # 30 and 20 become 25 each; 4 and 2 become 3 each.
    assert lost_at([30.0, 20.0, 50.0], [4.0, 2.0, 9.0], 25.0) == pytest.approx(3.0)
    assert math.isnan(lost_at([30.0, 20.0, 50.0], [4.0, 2.0, 9.0], 50.1))
    assert math.isnan(lost_at([], [], 1.0))
    assert math.isnan(lost_at([1.0, math.nan], [1.0, 2.0], 0.5))


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=4), st.floats(0, 50), st.floats(0, 50))
def test_more_learning_is_never_had_for_less(points, one, other):
    learned, lost = [p[0] for p in points], [p[1] for p in points]
    low, high = (lost_at(learned, lost, goal) for goal in sorted((one, other)))
    if not math.isnan(high):
        assert low <= high + 1e-9


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=7))
def test_the_front_is_whom_nobody_beats(points):
    learned, lost = (np.array([[p[i] for p in points]], dtype=float) for i in (0, 1))
    expected = [
        not any((y2 >= y and x2 <= x and (y2 > y or x2 < x)) for y2, x2 in points)
        for y, x in points
    ]  # fmt: skip
    assert on_front(learned, lost)[0].tolist() == expected


def test_what_is_not_known_is_on_no_front_and_beats_nobody():
    learned, lost = np.array([[1.0, math.nan]]), np.array([[1.0, 0.0]])
    assert on_front(learned, lost).tolist() == [[True, False]]


def test_areas_by_hand():
    assert hypervolume([10.0], [0.0], 10.0, 5.0) == 1.0
    assert hypervolume([10.0], [5.0], 10.0, 5.0) == 0.0
    assert hypervolume([5.0], [0.0], 10.0, 5.0) == 0.5
    # Half is learned for nothing, the other half for half of what can be lost.
    assert hypervolume([5.0, 10.0], [0.0, 2.5], 10.0, 5.0) == pytest.approx(0.75)
    assert hypervolume([5.0, 4.0], [0.0, 1.0], 10.0, 5.0) == 0.5
    assert hypervolume([-3.0], [-1.0], 10.0, 5.0) == 0.0


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=5), st.integers(0, 9))
def test_the_area_is_that_of_the_points_that_something_beats(points, seed):
    draws = np.random.default_rng(seed).random((4000, 2))
    gained = [min(max(y, 0.0), 100.0) / 100.0 for y, _ in points]
    kept = [1 - min(max(x, 0.0), 100.0) / 100.0 for _, x in points]
    inside = np.zeros(len(draws), dtype=bool)
    for gain, keep in zip(gained, kept, strict=True):
        inside |= (draws[:, 0] < gain) & (draws[:, 1] < keep)
    found = hypervolume(*map(list, zip(*points, strict=True)), 100.0, 100.0)
    assert found == pytest.approx(inside.mean(), abs=0.04)
