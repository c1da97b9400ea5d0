"""The bootstrap: against the t interval where both hold, by group, and how often its interval holds the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from holdfast.core.errors import HoldfastError
from holdfast.stats.bootstrap import bootstrap_change
from holdfast.stats.paired import paired_change
from holdfast.stats.verdict import judge


def mean(rows):
    return float(rows.mean())


def pairs(seed, n, shift=0.0):
    rng = np.random.default_rng(seed)
    before = rng.normal(size=n)
    return before, before + shift + rng.normal(scale=0.3, size=n)


def test_on_a_mean_it_is_nearly_the_paired_t_interval():
    before, after = pairs(0, 200, 0.1)
    found, known = bootstrap_change(before, after, mean), paired_change(before, after, np.ones(200))
    assert found.change == pytest.approx(known.change)
    assert found.interval() == pytest.approx(known.interval(), abs=0.006)
    assert found.interval(0.8) == pytest.approx(known.interval(0.8), abs=0.006)
    for supposed in (0.05, 0.12):
        assert found.statistic(supposed) == pytest.approx(known.statistic(supposed), abs=0.3)


def test_it_is_bca_as_scipy_has_it_on_the_pairs_themselves():
    before, after = pairs(1, 40, 0.2)
    spread = np.exp(before), np.exp(after)

    def median(a, b):
        return np.median(b) - np.median(a)

    whole = stats.bootstrap(spread, median, paired=True, vectorized=False, n_resamples=4000, method="BCa", rng=3)
    found = bootstrap_change(*spread, lambda rows: float(np.median(rows)), resamples=4000)
    low, high = whole.confidence_interval
    assert found.interval() == pytest.approx((low, high), abs=0.15 * (high - low))


def test_items_of_a_group_are_drawn_together():
    before, after = pairs(2, 30, 0.1)
    copied = [np.repeat(values, 10) for values in (before, after)]
    grouped = bootstrap_change(*copied, mean, np.repeat(np.arange(30), 10))
    assert grouped.groups == 30
    assert grouped.interval() == pytest.approx(bootstrap_change(before, after, mean).interval())
    low, high = bootstrap_change(*copied, mean).interval()
    assert high - low < 0.5 * (grouped.interval()[1] - grouped.interval()[0])


@pytest.mark.slow
def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(4)
    held = 0
    for trial in range(200):
        before = rng.lognormal(size=60)
        after = before * rng.lognormal(0.2, 0.2, size=60)
        low, high = bootstrap_change(before, after, mean, resamples=400, seed=trial).interval()
        held += low <= math.exp(0.5) * (math.exp(0.2 + 0.02) - 1) <= high
    assert 0.86 <= held / 200 <= 0.99


def test_the_same_seed_gives_the_same_draws():
    before, after = pairs(3, 30)
    assert bootstrap_change(before, after, mean).interval() == bootstrap_change(before, after, mean).interval()
    other = bootstrap_change(before, after, mean, seed=1).interval()
    assert other != bootstrap_change(before, after, mean).interval()
    assert bootstrap_change(before, after, mean, resamples=50).drawn.bootstrap_distribution.size == 50


def test_what_did_not_change_has_no_width_and_one_group_has_no_interval():
    assert bootstrap_change([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], mean).interval() == (0.0, 0.0)
    single = bootstrap_change([1.0, 2.0], [1.0, 3.0], mean, ["a", "a"])
    assert single.interval() == (-math.inf, math.inf)
    assert single.statistic(0.0) == 0.0


def test_a_verdict_can_be_given_on_it():
    before, after = pairs(5, 200, -0.5)
    assert judge(bootstrap_change(before, after, mean), 0.2).word == "forgot"
    assert judge(bootstrap_change(before, before + 1e-3 * after, mean), 0.2).word == "kept"


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(HoldfastError, match="no item to compare"):
        bootstrap_change([], [], mean)
    with pytest.raises(HoldfastError, match="not finite"):
        bootstrap_change([1.0, math.nan], [1.0, 1.0], mean)
    with pytest.raises(ValueError, match="one shape"):
        bootstrap_change([1.0], [1.0, 2.0], mean)
