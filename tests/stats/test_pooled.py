"""The mean of suites: its score interval, by hand and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from holdfast.stats.flips import Flips, flips
from holdfast.stats.graded import graded
from holdfast.stats.paired import paired_change
from holdfast.stats.pooled import pooled


def table(lost: int, gained: int, items: int) -> Flips:
    return Flips(items - lost - gained, lost, gained, items, items, float(items))


def test_suites_without_a_flip_prove_as_much_as_one_suite_of_all_their_items():
    """No flip in 22 suites of 51 items excludes about what none in 1,122 items does, wherever the loss may be."""
    low, high = pooled([table(0, 0, 51)] * 22).interval(0.9)
    one, other = table(0, 0, 22 * 51).interval(0.9)
    assert (low, high) == (pytest.approx(one, rel=0.01), pytest.approx(other, rel=0.01))


def test_the_interval_of_the_mean_solves_its_equation():
    parts = [table(5, 2, 60), table(0, 3, 60), table(9, 9, 60)]
    low, high = pooled(parts).interval()
    mean, z = sum(part.change for part in parts) / 3, stats.norm.ppf(0.975)
    for end in (low, high):  # of equal size, all parts move alike
        variance = sum(part.variance(part.change + end - mean) for part in parts)
        assert abs(end - mean) == pytest.approx(z / 3 * math.sqrt(variance))


def test_a_small_suite_hides_the_loss_that_no_item_shows():
    """Ten items of one suite may have lost a fifth, which the thousand of every other cannot make up for."""
    parts = [table(0, 0, 10), *[table(0, 0, 1000)] * 15]
    low, _ = pooled(parts).interval(0.9)
    alone, _ = table(0, 0, 10).interval(0.9)
    assert low == pytest.approx(alone / 16, rel=0.01)


def test_a_suite_without_evidence_counts_with_all_that_it_may_have_lost():
    one = flips([1, 1, 0, 0], [1, 1, 0, 0], ["a"] * 4)
    low, high = pooled([one, table(0, 0, 10**7)]).interval()
    assert (low, high) == (pytest.approx(-0.5, abs=1e-3), pytest.approx(0.5, abs=1e-3))
    single = paired_change([3.0], [4.0], [10.0])
    assert pooled([single, single]).interval() == (-math.inf, math.inf)
    assert pooled([single, single]).statistic(0.0) == 0


def test_nothing_to_estimate_has_no_width():
    same = paired_change([3.0, 2.0], [3.0, 2.0], [10.0, 10.0])
    assert pooled([same, same]).interval() == (0.0, 0.0)


PARTS = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(41, 300), st.sampled_from([1, 4])),
    min_size=1,
    max_size=5,
)


@given(PARTS, st.floats(0.5, 0.99))
def test_the_statistic_inverts_the_interval_and_wider_intervals_hold_narrower_ones(counts, confidence):
    parts = [
        Flips(n - b - c, b, c, n, max(2, n // size), n / size) for b, c, n, size in counts
    ]  # of groups, with Student's t
    mean = pooled(parts)
    low, high = mean.interval(confidence)
    inner = mean.interval(confidence / 2)
    assert -1 <= low <= inner[0] <= mean.change <= inner[1] <= high <= 1
    far = float(stats.norm.ppf(0.5 + confidence / 2))
    assert mean.statistic(low) == pytest.approx(far, abs=1e-5)
    assert mean.statistic(high) == pytest.approx(-far, abs=1e-5)


def test_graded_suites_of_right_and_wrong_answers_are_flips():
    rng = np.random.default_rng(2)
    sides = [(rng.random(80) < 0.7, rng.random(80) < 0.6) for _ in range(3)]
    graded_parts = [graded(*np.array(side, dtype=float)) for side in sides]
    assert pooled(graded_parts).interval() == pytest.approx(pooled([flips(*side) for side in sides]).interval())


@pytest.mark.parametrize(("items", "lost", "gained"), [(51, 0.06, 0.04), (51, 0.02, 0.0), (29, 0.06, 0.04)])
def test_the_bounds_of_many_small_suites_miss_the_truth_in_about_one_of_twenty_cases(items, lost, gained):
    rng, below, above, runs = np.random.default_rng(9), 0, 0, 300
    for _ in range(runs):
        draws = rng.multinomial(items, [lost, gained, 1 - lost - gained], size=20)
        parts = [table(int(b), int(c), items) for b, c, _ in draws]
        mean = pooled(parts)
        below += mean.statistic(gained - lost) > stats.norm.ppf(0.95)
        above += mean.statistic(gained - lost) < stats.norm.ppf(0.05)
    assert max(below, above) / runs < 0.09  # 0.05, and three standard errors
