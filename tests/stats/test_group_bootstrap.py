"""The bootstrap by counts: against scipy's, against resampled items, and its limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from holdfast.stats.group_bootstrap import Estimate, bca, bootstrap_figures


def mean_of(values):
    return lambda counts: np.stack([counts @ values / counts.sum(axis=1), counts @ values**2 / counts.sum(axis=1)], 1)


def test_the_interval_is_bca_as_scipy_computes_it_on_the_same_draws():
    values = np.exp(np.random.default_rng(0).normal(size=80))
    known = stats.bootstrap((values,), np.mean, n_resamples=3000, method="BCa", rng=np.random.default_rng(1))
    left_out = np.array([np.delete(values, i).mean() for i in range(80)])
    found = bca(values.mean(), known.bootstrap_distribution, left_out)
    assert found == pytest.approx(tuple(known.confidence_interval), rel=1e-6)


def test_figures_are_drawn_together_and_have_their_own_intervals():
    values = np.exp(np.random.default_rng(2).normal(size=60))
    first, second = bootstrap_figures(mean_of(values), 60, resamples=4000)
    for estimate, column in ((first, values), (second, values**2)):
        known = stats.bootstrap((column,), np.mean, n_resamples=4000, method="BCa", rng=np.random.default_rng(3))
        low, high = known.confidence_interval
        assert estimate.value == pytest.approx(column.mean())
        assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.08 * (high - low))
    wide, narrow = (bootstrap_figures(mean_of(values), 60, confidence=c)[0] for c in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_blocks_give_the_acceleration_of_single_groups(monkeypatch):
    values = np.exp(np.random.default_rng(4).normal(size=400))
    blocks = bootstrap_figures(mean_of(values), 400, resamples=4000)[0]
    monkeypatch.setattr("holdfast.stats.group_bootstrap.BLOCKS", 400)
    single = bootstrap_figures(mean_of(values), 400, resamples=4000)[0]
    width = single.high - single.low
    assert (blocks.low, blocks.high) == pytest.approx((single.low, single.high), abs=0.03 * width)


def test_the_number_of_counts_at_once_changes_nothing(monkeypatch):
    values = np.arange(30.0)
    whole = bootstrap_figures(mean_of(values), 30, resamples=50)
    monkeypatch.setattr("holdfast.stats.group_bootstrap.CHUNK", 30 * 7)
    assert bootstrap_figures(mean_of(values), 30, resamples=50) == whole
    assert bootstrap_figures(mean_of(values), 30, resamples=50, seed=1) != whole


def test_a_single_group_has_no_interval_and_equal_draws_have_no_width():
    assert bootstrap_figures(mean_of(np.array([3.0])), 1) == [Estimate(3.0), Estimate(9.0)]
    assert bootstrap_figures(mean_of(np.full(5, 2.0)), 5)[0] == Estimate(2.0, 2.0, 2.0, 0.0)
    for wrong in ({"groups": 0}, {"groups": 3, "resamples": 0}, {"groups": 3, "confidence": 1.0}):
        with pytest.raises(ValueError, match="out of range"):
            bootstrap_figures(mean_of(np.ones(3)), **wrong)


def test_a_value_beyond_all_draws_has_a_finite_interval():
    drawn = np.linspace(1, 2, 100)
    low, high = bca(0.5, drawn, np.array([0.4, 0.5, 0.6]))
    assert (low, high) == pytest.approx((1.0, 1.0), abs=0.01)
