"""Repetitions with other items and other seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from holdfast.stats.draws import Draws, Suite, interval


def suite(scores, groups=None, weights=None):
    scores = np.array(scores, dtype=float)
    n = len(scores)
    return Suite(groups or list(range(n)), np.ones(n) if weights is None else np.array(weights, dtype=float), scores)


def test_the_first_repetition_is_what_was_measured():
    one = suite([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]], weights=[1, 1, 2])
    draws = Draws.of([one], seeds=2, count=5)
    np.testing.assert_allclose(draws.means(one)[0], [2 / 4, 1 / 4])
    assert draws.over_seeds(np.array([[1.0, 3.0]] * 6))[0] == 2.0


def test_every_repetition_draws_as_many_groups_and_whole_ones():
    one = suite([[1.0], [1.0], [0.0]], groups=["a", "a", "b"])
    draws = Draws.of([one], seeds=1, count=200)
    assert (draws.items.sum(1) == 2).all()
    assert {*draws.means(one)[:, 0].round(6)} == {0.0, round(2 / 3, 6), 1.0}


def test_all_runs_are_given_the_same_items():
    values = np.random.default_rng(0).random(50)
    one = suite(np.stack([values, values + 1], 1))
    means = Draws.of([one], seeds=1, count=50).means(one)
    np.testing.assert_allclose(means[:, 1] - means[:, 0], 1.0)


def test_suites_that_share_groups_are_drawn_together():
    first, second = (suite([[1.0], [0.0]], groups=["a", "b"]) for _ in range(2))
    draws = Draws.of([first, second], seeds=1, count=30)
    np.testing.assert_array_equal(draws.means(first), draws.means(second))
    alone = suite([[1.0]], groups=["c"])
    draws = Draws.of([first, alone], seeds=1, count=300)
    assert np.isnan(draws.means(alone)).any()


def test_a_seed_that_is_missing_is_left_out():
    draws = Draws.of([suite([[1.0]])], seeds=2, count=100)
    found = draws.over_seeds(np.array([[4.0, math.nan]] * 101))
    assert {*found[~np.isnan(found)]} == {4.0}


def test_the_same_seed_draws_the_same():
    one = suite([[1.0], [0.0], [1.0]])
    first, again, other = (Draws.of([one], 1, 20, seed=seed).items for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Items and seeds both vary: 40 experiments of 4 seeds on 100 items, the truth being 0."""
    rng, hits = np.random.default_rng(1), 0
    for trial in range(60):
        of_items, of_seeds = rng.normal(size=(100, 1)), rng.normal(size=(1, 6)) * 0.3
        one = suite(of_items + of_seeds + rng.normal(size=(100, 6)) * 0.1)
        draws = Draws.of([one], seeds=6, count=300, seed=trial)
        low, high = interval(draws.over_seeds(draws.means(one)))
        hits += low <= 0 <= high
    assert 48 <= hits <= 60


def test_nothing_that_varies_has_no_interval():
    assert interval(np.array([1.0])) is None
    assert interval(np.array([1.0, math.nan, math.nan])) is None
    low, high = interval(np.arange(1001.0))
    assert (low, high) == (pytest.approx(26, abs=1), pytest.approx(975, abs=1))


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_of_few_seeds_the_variance_of_the_mean_is_that_of_the_mean_of_seeds(seeds):
    values = np.random.default_rng(seeds).normal(size=seeds)
    draws = Draws.of([Suite(["a"], np.ones(1), np.ones((1, 1)))], seeds, 40_000, 1)
    found = draws.over_seeds(np.broadcast_to(values, (40_001, seeds)))
    assert found[0] == pytest.approx(values.mean())
    assert found[1:].var() == pytest.approx(values.var(ddof=1) / seeds, rel=0.03)
    assert (draws.over_seeds(np.array([[2.0, math.nan, math.nan, math.nan, math.nan][:seeds]] * 40_001))[0]) == 2.0
