"""Suites that fell, tested together: adjusted p-values by brute force, and their error under no fall."""

import itertools

import numpy as np
import pytest

from holdfast.stats.largest_fall import fell


def test_a_single_suite_has_the_sign_flip_p_value():
    moves = {"a": [(i, -1.0) for i in range(6)] + [(9, 1.0)]}
    assert fell(moves, draws=20_000)["a"] == pytest.approx(8 / 128, abs=0.01)


def test_the_maximum_over_suites_is_enumerated():
    moves = {"a": [(i, -1.0) for i in range(4)], "b": [(i, -1.0) for i in range(3)] + [(7, 2.0)], "c": [(0, 0.0)]}
    sums = [np.full(4, -1.0), np.array([-1.0, -1.0, -1.0, 2.0])]
    most = [
        max(np.dot(signs[:4], sums[0]) / 2, np.dot(signs[4:], sums[1]) / np.sqrt(7))
        for signs in itertools.product((-1, 1), repeat=8)
    ]
    expected = np.mean(np.array(most) >= 2.0 - 1e-9)
    got = fell(moves, draws=20_000)
    assert got["a"] == pytest.approx(expected, abs=0.01)
    assert got["c"] == 1.0


def test_a_steep_fall_of_a_small_suite_is_seen_among_many_suites_that_hardly_move():
    rng = np.random.default_rng(0)
    moves = {f"s{k}": [(i, float(m)) for i, m in enumerate(rng.choice([-1, 0, 0, 0, 1], 14))] for k in range(15)}
    assert fell({**moves, "laws": [(i, -1.0 if i < 8 else 0.0) for i in range(14)]})["laws"] < 0.05


def test_without_a_fall_some_suite_is_reported_in_a_twentieth_of_all_cases():
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(200):
        moves = {f"s{k}": [(i, float(m)) for i, m in enumerate(rng.choice([-1, 0, 1], 30))] for k in range(5)}
        alarms += min(fell(moves, draws=499).values()) < 0.05
    assert alarms / 200 < 0.1
