"""The change point of a series: its place, its size, and how often a random order shows as much."""

import itertools

import numpy as np
import pytest

from holdfast.stats.change_point import change_point


def test_a_step_is_placed_and_sized():
    point = change_point([50.0] * 6 + [20.0] * 5)
    assert (point.place, point.change, point.sudden) == (6, -30.0, 1.0)
    assert point.p == pytest.approx(2 / 462, abs=0.005)  # of the 11 choose 5 orders, the step down and the step up


def test_the_p_value_is_the_share_of_orders():
    series = [3.0, 2.0, 5.0, 1.0, 0.0, 0.5]

    def cusum(values):
        values = np.array(values)
        return max(abs((values[:k] - values.mean()).sum()) / np.sqrt(k * (6 - k) / 6) for k in range(1, 6))

    orders = [cusum(order) for order in itertools.permutations(series)]
    expected = np.mean(np.array(orders) >= cusum(series) - 1e-12)
    assert change_point(series, draws=20_000).p == pytest.approx(expected, abs=0.02)


def test_a_steady_fall_is_not_sudden_and_noise_is_no_change():
    assert change_point(np.linspace(60, 20, 12)).sudden < 0.2
    noise = np.random.default_rng(0).normal(size=(100, 15))
    assert np.mean([change_point(series, draws=199).p < 0.05 for series in noise]) < 0.12


def test_short_and_constant_series_have_none():
    assert change_point([1.0, 2.0, 3.0]) is None
    assert change_point([1.0] * 9) is None
    with pytest.raises(ValueError, match="finite"):
        change_point([1.0, float("inf"), 2.0, 3.0])
