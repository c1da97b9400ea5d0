"""The change of a share: Tango's statistic, groups, and how often interval and bounds are right."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from holdfast.core.errors import HoldfastError
from holdfast.stats.flips import Flips, flips
from holdfast.stats.verdict import holm, judge


def table(right, lost, gained, items):
    return Flips(right, lost, gained, items, items, float(items))


def likelihood_statistic(found, change):
    """Returns the score statistic with the nuisance share found by a numerical search, not by the formula."""
    n, b, c = found.items, found.lost, found.gained

    def cost(q):  # q: share lost; share gained is q + change; the rest does not flip
        p, rest = q + change, 1 - 2 * q - change
        return -sum(k * math.log(v) for k, v in ((b, q), (c, p), (n - b - c, rest)) if k and v > 0)

    low, high = max(0.0, -change), (1 - change) / 2
    q = optimize.minimize_scalar(cost, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return (c - b - n * change) / math.sqrt(n * (2 * q + change - change**2))


@pytest.mark.parametrize(("lost", "gained", "items"), [(3, 1, 26), (12, 9, 44), (1, 0, 5), (40, 25, 400), (7, 30, 90)])
@pytest.mark.parametrize("change", [-0.31, -0.02, 0.011, 0.2])
def test_the_statistic_is_the_score_at_the_likelihoods_maximum(lost, gained, items, change):
    found = table(items - lost - gained, lost, gained, items)
    assert found.statistic(change) == pytest.approx(likelihood_statistic(found, change), rel=1e-4)


def test_without_a_margin_it_is_the_statistic_of_mcnemar():
    found = table(60, 14, 5, 100)
    assert found.statistic(0.0) == pytest.approx((5 - 14) / math.sqrt(19))


def test_without_flips_the_bound_is_that_of_wilson():
    low, high = table(26, 0, 0, 26).interval(0.95)
    far = stats.norm.ppf(0.975) ** 2
    assert (low, high) == (pytest.approx(-far / (26 + far)), pytest.approx(far / (26 + far)))


def test_mcnemar_is_the_exact_binomial_test():
    assert table(80, 9, 2, 100).mcnemar() == pytest.approx(2 * stats.binom.cdf(2, 11, 0.5))
    assert table(80, 0, 0, 100).mcnemar() == 1.0


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 6)), min_size=2, max_size=60),
    st.floats(0.5, 0.999),
)
def test_the_interval_holds_the_estimate_mirrors_and_shrinks_with_evidence(rows, confidence):
    before, after, groups = zip(*rows, strict=True)
    found = flips(before, after, groups)
    low, high = found.interval(confidence)
    assert -1 <= low <= found.change <= high <= 1
    mirrored = flips(after, before, groups).interval(confidence)
    assert mirrored == (pytest.approx(-high, abs=1e-7), pytest.approx(-low, abs=1e-7))
    if found.groups >= 2:  # The same again, in other groups, is twice the evidence.
        again = flips(before * 2, after * 2, [*groups, *(g + 100 for g in groups)])
        assert again.interval(confidence)[1] - again.interval(confidence)[0] <= high - low + 1e-9


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 200))
def test_the_statistic_falls_as_the_supposed_change_rises(lost, gained, same):
    found = table(same, lost, gained, same + lost + gained)
    values = [found.statistic(change) for change in np.linspace(-0.99, 0.99, 45)]
    assert all(first >= second - 1e-9 for first, second in itertools.pairwise(values))


def test_items_that_are_copies_of_each_other_count_as_one():
    rng = np.random.default_rng(0)
    before, after = rng.random(60) < 0.8, rng.random(60) < 0.7
    alone = flips(before, after)
    copied = flips(np.repeat(before, 10), np.repeat(after, 10), np.repeat(np.arange(60), 10))
    assert (alone.effective, alone.degrees, copied.degrees) == (60.0, math.inf, 59.0)
    assert copied.effective == pytest.approx(60, rel=0.05)
    assert copied.change == alone.change


def test_groups_that_have_nothing_in_common_cost_little():
    rng = np.random.default_rng(1)
    before, after = rng.random(2000) < 0.8, rng.random(2000) < 0.8
    found = flips(before, after, np.repeat(np.arange(400), 5))
    assert found.effective > 1800


def test_where_nothing_flips_every_group_counts_as_one_item():
    found = flips(np.ones(100), np.ones(100), np.repeat(np.arange(20), 5))
    assert found.effective == pytest.approx(20)


def test_one_group_says_nothing():
    assert flips([1, 1, 0], [0, 1, 1], ["a", "a", "a"]).interval() == (-1.0, 1.0)


def test_a_group_of_its_own_for_each_item_is_none():
    assert flips([1, 0, 1], [1, 1, 1], ["a", "b", "c"]) == flips([1, 0, 1], [1, 1, 1])


def draw(rng, groups, size, lost, gained, within):
    """Returns items right before whose losses have this correlation within a group, and their true change."""
    place = np.repeat(np.arange(groups), size)
    share = np.full(groups, lost)
    if within:
        share = rng.beta(lost * (1 / within - 1), (1 - lost) * (1 / within - 1), groups)
    gone = rng.random(groups * size) < share[place]
    before = (gone | (rng.random(groups * size) >= gained)).astype(int)
    return before, np.where(gone, 0, 1), (place if size > 1 else None), (1 - lost) * gained - lost


@pytest.mark.parametrize(
    ("groups", "size", "lost", "gained", "within", "least"),
    [
        (5, 1, 0.0, 0.0, 0.0, 0.99),
        (26, 1, 0.05, 0.05, 0.0, 0.94),
        (100, 1, 0.02, 0.01, 0.0, 0.94),
        (1000, 1, 0.02, 0.02, 0.0, 0.935),
        (100, 10, 0.02, 0.02, 0.3, 0.935),
        (20, 20, 0.05, 0.02, 0.5, 0.93),
        (36, 15, 0.02, 0.0, 0.9, 0.94),
    ],
)
def test_the_interval_holds_the_truth_as_often_as_it_says(groups, size, lost, gained, within, least):
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(400):
        before, after, place, truth = draw(rng, groups, size, lost, gained, within)
        low, high = flips(before, after, place).interval()
        held += low <= truth <= high
    assert held / 400 >= least


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(HoldfastError, match="no item"):
        flips([], [])
    with pytest.raises(HoldfastError, match="must be 1"):
        flips([0.5], [1])
    with pytest.raises(ValueError, match="vectors and groups of one length"):
        flips([1, 0], [1])
    with pytest.raises(ValueError, match="vectors and groups of one length"):
        flips([1, 0], [1, 0], ["a"])


def test_a_single_group_says_nothing_and_has_a_p_value_of_a_half():
    found = flips([1, 1, 1, 1], [1, 0, 0, 1], ["x"] * 4)
    assert found.statistic(-0.02) == 0.0
    assert found.degrees == 1.0
    said = judge(found, 0.02)
    assert (said.p_forgot, said.p_kept) == pytest.approx((0.5, 0.5))
    assert said.word == "not enough evidence"
    assert holm([said.p_forgot, 1e-9]) == pytest.approx([0.5, 2e-9])
