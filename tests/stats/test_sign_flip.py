"""The sign-flip test equals McNemar's exact test and scipy's permutation test, and needs no whole numbers."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from holdfast.stats.sign_flip import sign_flip


@pytest.mark.parametrize(("gained", "lost"), [(5, 0), (9, 3), (40, 22), (3, 3), (0, 4)])
def test_single_items_give_mcnemars_exact_p_value(gained, lost):
    moved = [1] * gained + [-1] * lost + [0] * 30
    expected = stats.binomtest(gained, gained + lost, 0.5, "greater").pvalue if gained > lost else 1.0
    assert sign_flip(moved) == pytest.approx(expected, rel=1e-9)


def test_whole_sums_of_groups_are_enumerated():
    moved, groups = [1, 1, 1, -1, 0, 1, 1], list("aabbccd")
    sums = np.array([2, 0, 1, 1])
    totals = [float(np.dot(signs, sums)) for signs in itertools.product((-1, 1), repeat=4)]
    assert sign_flip(moved, groups) == pytest.approx(np.mean([total >= 4 for total in totals]))


def test_real_differences_agree_with_scipys_permutation_test():
    moved = np.random.default_rng(1).normal(0.3, 1.0, 12)
    exact = stats.permutation_test(
        (moved,), lambda x, axis: x.sum(axis), permutation_type="samples", alternative="greater", n_resamples=np.inf
    )
    assert sign_flip(moved, draws=40_000) == pytest.approx(exact.pvalue, abs=0.01)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.randoms())
def test_the_order_of_pairs_does_not_matter(moved, random):
    mixed = list(moved)
    random.shuffle(mixed)
    assert sign_flip(mixed) == pytest.approx(sign_flip(moved))


@given(st.lists(st.integers(-2, 2), min_size=1, max_size=30))
def test_one_of_both_directions_has_no_evidence(moved):
    assert max(sign_flip(moved), sign_flip([-m for m in moved])) == 1.0


def test_a_group_counts_once_however_many_items_it_has():
    assert sign_flip([1] * 10, ["a"] * 10) == 0.5


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="groups of its length"):
        sign_flip([1, 2], ["a"])
    with pytest.raises(ValueError, match="not finite"):
        sign_flip([1.0, float("nan")])
