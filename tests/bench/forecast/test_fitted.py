"""The fit as a function: its formula, its ends, what it calls an extrapolation; and the one that is committed."""

from __future__ import annotations

import math

import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from holdfast.bench.forecast.features import FEATURES
from holdfast.bench.forecast.fitted import TARGETS, Fit, committed, logit, points

FIT = Fit(
    confidence=0.9, rows=20, groups=("a", "b"), parameters=(2_800_000,), intercepts={"lost": -1.0},
    slopes={"lost": {"drift on what is kept": 2.0}}, halves={"lost": 0.5}, low={"drift on what is kept": -3.0},
    high={"drift on what is kept": 1.0},
)  # fmt: skip


@given(st.floats(0, 100))
def test_points_are_the_inverse_of_the_logit(value):
    assert points(logit(value)) == pytest.approx(value, abs=1e-9)
    assert logit(value) == pytest.approx(scipy.special.logit((value + 1) / 102), abs=1e-9)


def test_a_gain_counts_as_no_loss_and_ends_stay_within_0_and_100():
    assert logit(-3.0) == logit(0.0)
    assert (points(-1e9), points(1e9)) == (0.0, 100.0)


def test_the_forecast_is_the_formula():
    told = FIT.forecast("lost", {"drift on what is kept": 0.25})
    expected = [102 * scipy.special.expit(-0.5 + shift) - 1 for shift in (0.0, -0.5, 0.5)]
    assert (told.value, told.low, told.high) == pytest.approx(tuple(expected))


@given(st.floats(-6, 6), st.floats(-6, 6))
def test_more_drift_is_never_less_loss(some, more):
    low, high = (FIT.forecast("lost", {"drift on what is kept": x}) for x in sorted((some, more)))
    assert low.value <= high.value
    assert low.low <= low.value <= low.high


def test_a_case_outside_the_fit_is_named():
    inside = {"drift on what is kept": 0.0}
    assert FIT.beyond(inside, 3_000_000) == []
    assert FIT.beyond({"drift on what is kept": 1.3}, 3_000_000) == []  # within a tenth of the range
    assert FIT.beyond(inside, 270_000_000) == ["270M parameters (fit: 2.8M)"]
    (phrase,) = FIT.beyond({"drift on what is kept": 1.5}, 3_000_000)
    assert phrase == "drift on what is kept 1.5 (fit: -3 to 1)"
    assert FIT.beyond({"drift on what is kept": math.nan}, 3_000_000) == []


def test_the_committed_fit_has_all_targets_and_finite_intervals():
    fit = committed()
    assert Fit.from_dict(fit.to_dict()) == fit
    for target in TARGETS:
        assert {*fit.slopes[target]} <= {*FEATURES}
        assert 0 < fit.halves[target] < 20
    assert fit.slopes["lost"]["drift on what is kept"] > 0
    assert fit.checks
