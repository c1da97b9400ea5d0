import numpy as np
import pytest
from scipy import stats

from holdfast.stats.share import share


def test_independent_items_have_the_wilson_interval():
    values = [1] * 450 + [0] * 50
    found = share(values, range(500), confidence=0.95)
    assert (found.share, found.items, found.groups) == (0.9, 500, 500)
    exact = stats.binomtest(450, 500).proportion_ci(0.95, "wilson")
    # The quantile is that of t with 499 degrees of freedom, a little wider than the normal one.
    assert found.low == pytest.approx(exact.low, abs=0.0005)
    assert found.high == pytest.approx(exact.high, abs=0.0005)
    assert found.low <= exact.low
    assert found.high >= exact.high


def test_copies_of_items_do_not_narrow_the_interval():
    values = np.array([1] * 30 + [0] * 10)
    once = share(values, range(40))
    five_times = share(np.repeat(values, 5), np.repeat(np.arange(40), 5))
    assert five_times.high - five_times.low == pytest.approx(once.high - once.low, rel=0.02)


def test_where_all_is_right_every_group_counts_once():
    found = share([1.0] * 1000, [i % 20 for i in range(1000)])
    assert found.share == found.high == 1.0
    assert found.low == pytest.approx(1 - 1 / (1 + 20 / stats.t.ppf(0.975, 19) ** 2))


def test_a_single_group_says_nothing():
    found = share([1, 0, 1], ["a", "a", "a"])
    assert (found.low, found.high) == (0.0, 1.0)


@pytest.mark.parametrize(("truth", "size"), [(0.9, 1), (0.9, 7), (0.98, 7), (0.5, 7)])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(truth, size):
    rng = np.random.default_rng(0)
    groups, held = 60, 0
    spread = 6.0  # of the beta distribution that the groups' own shares come from
    for _ in range(1000):
        own = rng.beta(truth * spread, (1 - truth) * spread, groups)
        values = rng.random((groups, size)) < own[:, None]
        found = share(values.ravel().astype(float), np.repeat(np.arange(groups), size))
        held += found.low <= truth <= found.high
    assert 0.92 <= held / 1000 <= 0.99


@pytest.mark.parametrize(
    ("values", "groups", "said"),
    [([], [], "one value"), ([1, 0], ["a"], "one value"), ([1, 2], ["a", "b"], "from 0"), ([1], ["a"], "confidence")],
)
def test_bad_input_is_named(values, groups, said):
    with pytest.raises(ValueError, match=said):
        share(values, groups, confidence=1.5 if said == "confidence" else 0.95)
