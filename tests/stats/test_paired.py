"""The change of a mean per token, with an interval over documents."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from holdfast.core.errors import HoldfastError
from holdfast.stats.paired import paired_change


def documents(n, rng, drift=0.1):
    """Returns before, after and tokens of `n` documents with log-normal lengths and heavy-tailed changes."""
    tokens = np.ceil(rng.lognormal(4, 0.8, n))
    before = tokens * rng.gamma(9, 1 / 3, n)
    change = drift + 0.1 * rng.standard_t(4, n)
    return before, before + tokens * change, tokens


@pytest.mark.parametrize(("n", "least", "most"), [(10, 0.88, 0.96), (30, 0.91, 0.965), (200, 0.935, 0.965)])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(n, least, most):
    # The per-token change of a document is independent of its length, so that the population ratio is the drift.
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(3000):
        found = paired_change(*documents(n, rng))
        held += found.low <= 0.1 <= found.high
    assert least < held / 3000 < most


def test_with_equal_weights_it_is_the_paired_t_test():
    rng = np.random.default_rng(1)
    before, after = rng.normal(3, 1, 25), rng.normal(3.2, 1, 25)
    found = paired_change(before, after, np.ones(25), confidence=0.9)
    peer = stats.ttest_rel(after, before).confidence_interval(0.9)
    assert found.low == pytest.approx(peer.low, rel=1e-12)
    assert found.high == pytest.approx(peer.high, rel=1e-12)
    assert found.change == pytest.approx(np.mean(after - before))


def test_a_value_worked_by_hand():
    # d = (2, 1), w = (1, 3): R = 3/4, e = (5/4, -5/4), var = 2 * (25/8) / 16 = 25/64, t(1 dof, 0.95) = 12.7062
    found = paired_change([1.0, 5.0], [3.0, 6.0], [1, 3])
    assert (found.before, found.after, found.change) == (1.5, 2.25, 0.75)
    assert found.high - found.change == pytest.approx(12.706204736 * 5 / 8)
    assert (found.documents, found.weight, found.identical) == (2, 4.0, False)


def test_the_error_agrees_with_the_jackknife_and_the_bootstrap():
    rng = np.random.default_rng(2)
    before, after, tokens = documents(400, rng)
    difference = after - before
    found = paired_change(before, after, tokens)
    error = (found.high - found.change) / stats.t.ppf(0.975, 399)
    left_out = (difference.sum() - difference) / (tokens.sum() - tokens)
    jackknife = np.sqrt(399 / 400 * np.sum((left_out - left_out.mean()) ** 2))
    assert error == pytest.approx(jackknife, rel=0.03)
    draws = rng.integers(0, 400, (4000, 400))
    bootstrap = np.std(difference[draws].sum(1) / tokens[draws].sum(1))
    assert error == pytest.approx(bootstrap, rel=0.06)


def test_one_document_has_no_interval():
    found = paired_change([3.0], [4.0], [2])
    assert (found.change, found.low, found.high) == (0.5, None, None)


def test_documents_that_are_all_the_same_are_said_to_be():
    found = paired_change([3.0, 4.0], [3.0, 4.0], [2, 5])
    assert found.identical
    assert (found.change, found.low, found.high) == (0.0, 0.0, 0.0)
    assert paired_change([3.0], [3.0], [2]).low == 0.0


def test_changes_that_cancel_are_not_identical_and_have_a_width():
    found = paired_change([3.0, 3.0], [4.0, 2.0], [2, 2])
    assert not found.identical
    assert found.change == 0
    assert found.low < 0 < found.high


sums = hnp.arrays(np.float64, 6, elements=st.floats(-100, 100).map(lambda x: round(x, 3)))
weights = hnp.arrays(np.float64, 6, elements=st.integers(1, 50))


@settings(max_examples=60, deadline=None)
@given(sums, sums, weights, st.permutations(range(6)), st.floats(0.1, 10))
def test_order_does_not_matter_and_scales_carry_through(before, after, tokens, order, scale):
    found = paired_change(before, after, tokens)
    moved = paired_change(before[order], after[order], tokens[order])
    back = paired_change(after, before, tokens)
    scaled = paired_change(before * scale, after * scale, tokens)
    longer = paired_change(before * scale, after * scale, tokens * scale)
    near = {"rel": 1e-9, "abs": 1e-9}
    for other, low, high in (
        (moved, found.low, found.high),
        (back, -found.high, -found.low),
        (scaled, found.low * scale, found.high * scale),
        (longer, found.low, found.high),
    ):
        assert other.low == pytest.approx(low, **near)
        assert other.high == pytest.approx(high, **near)
    assert found.low <= found.change <= found.high
    assert found.change == pytest.approx(found.after - found.before, **near)


def test_more_confidence_is_a_wider_interval():
    before, after, tokens = documents(20, np.random.default_rng(3))
    widths = [
        found.high - found.low
        for found in (paired_change(before, after, tokens, confidence=share) for share in (0.5, 0.9, 0.99))
    ]
    assert widths == sorted(widths)


@pytest.mark.parametrize(
    ("before", "after", "tokens", "error", "sentence"),
    [
        ([], [], [], HoldfastError, "no document"),
        ([1.0, 2.0], [1.0], [1, 1], ValueError, "vectors of one length"),
        ([[1.0]], [[1.0]], [[1]], ValueError, "vectors of one length"),
        ([1.0, 2.0], [1.0, float("nan")], [1, 1], HoldfastError, "Document 1 has after = nan"),
        ([float("inf"), 2.0], [1.0, 2.0], [1, 1], HoldfastError, "Document 0 has before = inf"),
        ([1.0, 2.0], [1.0, 2.0], [1, 0], HoldfastError, "Document 1 has weight 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(before, after, tokens, error, sentence):
    with pytest.raises(error, match=sentence):
        paired_change(before, after, tokens)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, float("nan")])
def test_a_confidence_is_a_share(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        paired_change([1.0], [2.0], [1], confidence=confidence)
