"""The word on what was learned, and the sizes of changes."""

from __future__ import annotations

import math

import pytest

from holdfast.stats.flips import Flips
from holdfast.stats.learned import gained, learned_word, little
from holdfast.stats.size import could_see, drift_size


@pytest.mark.parametrize(
    ("gain", "low", "high", "word"),
    [
        (30.0, 25.0, 35.0, "learned"),
        (5.0, 0.2, 9.8, "learned"),
        (3.0, 0.4, 5.6, "learned little"),
        (0.3, 0.1, 0.5, "learned little"),
        (0.0, -2.0, 2.0, "not learned"),
        (-6.0, -9.0, -3.0, "not learned"),
        (2.5, -3.0, 12.0, "not enough evidence"),
        (0.0, 0.0, 0.0, "not learned"),
    ],
)
def test_the_word_follows_the_interval_and_the_size(gain, low, high, word):
    assert learned_word(gain, low, high, 4.0) == word


def test_little_is_a_twentieth_of_what_there_was_to_learn():
    assert little("points", 20.0) == pytest.approx(4.0)
    assert little("points", 99.0) == 0.5
    assert little("nats", 3.0) == 0.01


def test_little_is_a_quarter_of_what_was_learned_before_a_guard_took_it_back():
    assert little("points", 20.0, 60.0) == pytest.approx(15.0)
    assert little("points", 20.0, 1.0) == pytest.approx(4.0)
    assert little("nats", 3.0, 1.2) == pytest.approx(0.3)


def test_a_gain_is_positive_where_the_model_is_better():
    found = Flips(10, 2, 30, 100, 100, 100.0)
    low, high = found.interval()
    assert gained(found, higher_is_better=True) == (found.change, low, high)
    assert gained(found, higher_is_better=False) == (-found.change, -high, -low)


@pytest.mark.parametrize(
    ("nats", "word"),
    [(0.0, "tiny"), (0.0099, "tiny"), (0.05, "small"), (0.1, "moderate"), (0.69, "moderate"), (0.7, "large"),
     (6.0, "large")],
)  # fmt: skip
def test_a_drift_has_a_size(nats, word):
    assert drift_size(nats) == word


def test_what_could_be_seen_is_what_a_test_of_so_many_items_sees_four_times_in_five():
    """By hand, for a normal: half a width of 1.96 standard errors, and 1.645 + 0.842 of them to be seen."""
    assert could_see(-1.96, 1.96) == pytest.approx(1.6449 + 0.8416, rel=1e-3)
    assert math.isinf(could_see(-math.inf, math.inf))
