"""Calibration errors against sums over explicit bins, by properties, and how often their intervals hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.stats.bootstrap import bootstrap_change
from holdfast.stats.calibration import (
    Confidences,
    adaptive_calibration_error,
    bin_of,
    error_if_calibrated,
    expected_calibration_error,
    paired_calibration,
)

answers = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


def drawn(seed: int, n: int, shift: float = 0.0) -> Confidences:
    """Answers that are right with a probability of their confidence minus a shift."""
    rng = np.random.default_rng(seed)
    sure = rng.uniform(0.3, 1.0, n)
    right = (rng.random(n) < sure - shift).astype(float)
    return Confidences(sure, right, (sure - right) ** 2 * 2)


def by_bins(sure, right, places):
    """Sums the gaps of explicit bins, answer by answer."""
    total = 0.0
    for place in set(places):
        members = [i for i, of in enumerate(places) if of == place]
        accuracy = sum(right[i] for i in members) / len(members)
        confidence = sum(sure[i] for i in members) / len(members)
        total += len(members) / len(sure) * abs(accuracy - confidence)
    return total


def by_rank(sure, right, bins):
    """Repeats every answer `bins` times, cuts the sorted answers into equal bins, and sums the gaps.

    Answers of one confidence first get their mean accuracy.
    """
    shared = [np.mean([r for s, r in zip(sure, right, strict=True) if s == own]) for own in sure]
    pairs = sorted((s, r) for s, r in zip(sure, shared, strict=True) for _ in range(bins))
    size = len(sure)
    cut = [pairs[k * size : (k + 1) * size] for k in range(bins)]
    return sum(abs(sum(r - s for s, r in part)) for part in cut) / len(pairs)


@given(answers, st.integers(1, 12))
def test_bins_of_equal_width_are_those_of_a_sum_by_hand(pairs, bins):
    sure, right = zip(*pairs, strict=True)
    places = [next(k for k in range(bins) if s <= (k + 1) / bins or k == bins - 1) for s in sure]
    assert list(bin_of(sure, bins)) == places
    assert expected_calibration_error(sure, right, bins) == pytest.approx(by_bins(sure, right, places), abs=1e-12)


@given(answers, st.integers(1, 12))
def test_bins_of_equal_mass_are_those_of_the_sorted_answers(pairs, bins):
    sure, right = zip(*pairs, strict=True)
    assert adaptive_calibration_error(sure, right, bins) == pytest.approx(by_rank(sure, right, bins), abs=1e-9)


@given(answers, st.integers(1, 12), st.randoms(use_true_random=False))
def test_the_order_of_the_answers_does_not_matter(pairs, bins, random):
    mixed = list(pairs)
    random.shuffle(mixed)
    for error in (expected_calibration_error, adaptive_calibration_error):
        assert error(*zip(*pairs, strict=True), bins) == pytest.approx(error(*zip(*mixed, strict=True), bins))


@given(answers, st.integers(2, 12))
def test_an_error_lies_between_the_gap_of_all_answers_and_the_mean_gap_of_each(pairs, bins):
    sure, right = (np.array(values, dtype=float) for values in zip(*pairs, strict=True))
    least, most = abs((right - sure).mean()), np.abs(right - sure).mean()
    for error in (expected_calibration_error, adaptive_calibration_error):
        assert least - 1e-12 <= error(sure, right, bins) <= most + 1e-12
        assert error(sure, right, 1) == pytest.approx(least)


def test_a_model_that_is_sure_and_wrong_has_the_largest_error():
    assert expected_calibration_error([1.0] * 5, [0] * 5) == adaptive_calibration_error([1.0] * 5, [0] * 5) == 1.0
    for error in (expected_calibration_error, adaptive_calibration_error):
        with pytest.raises(ValueError, match="bins 0"):
            error([0.5], [1], 0)


def test_the_error_of_a_calibrated_model_is_that_of_coins():
    # Two answers of confidence 1/2: both right or both wrong (an error of 1/2) in half of the cases, else 0.
    width, mass = error_if_calibrated([0.5, 0.5], 1, draws=4000)
    assert width == pytest.approx(0.25, abs=0.02)
    assert mass == pytest.approx(0.25, abs=0.02)
    assert error_if_calibrated([1.0] * 20) == (0.0, 0.0)
    few, many = error_if_calibrated(drawn(0, 100).confidence), error_if_calibrated(drawn(0, 6400).confidence)
    assert few[0] == pytest.approx(8 * many[0], rel=0.2)
    assert few[1] == pytest.approx(8 * many[1], rel=0.2)


def test_a_paired_calibration_has_the_figures_of_each_side_and_their_differences():
    before, after = drawn(1, 300), drawn(2, 300, 0.2)
    groups = [i // 3 for i in range(300)]
    whole = paired_calibration(before, after, groups)
    for side, moment in ((before, "before"), (after, "after")):
        known = {
            "ece": expected_calibration_error(side.confidence, side.right),
            "adaptive_ece": adaptive_calibration_error(side.confidence, side.right),
            "overconfidence": side.confidence.mean() - side.right.mean(),
            "brier": side.brier.mean(),
        }
        for name, value in known.items():
            assert getattr(getattr(whole, name), moment).value == pytest.approx(value)
    for name in ("ece", "adaptive_ece", "overconfidence", "brier"):
        row = getattr(whole, name)
        assert row.change.value == pytest.approx(row.after.value - row.before.value)
        assert row.change.low < row.change.value < row.change.high


@pytest.mark.parametrize("name", ["ece", "adaptive_ece", "brier"])
def test_the_standard_errors_are_those_of_the_bootstrap_item_by_item(name):
    before, after = drawn(3, 200), drawn(4, 200, 0.15)
    groups = [i // 2 for i in range(200)]
    found = getattr(paired_calibration(before, after, groups, resamples=4000), name).change
    metrics = {
        "ece": lambda rows: expected_calibration_error(rows[:, 0], rows[:, 1]),
        "adaptive_ece": lambda rows: adaptive_calibration_error(rows[:, 0], rows[:, 1]),
        "brier": lambda rows: float(rows[:, 2].mean()),
    }
    columns = [np.stack([side.confidence, side.right, side.brier], axis=1) for side in (before, after)]
    known = bootstrap_change(*columns, metrics[name], groups, resamples=4000)
    assert found.value == pytest.approx(known.change)
    assert found.error == pytest.approx(known.drawn.bootstrap_distribution.std(), rel=0.05)
    if name == "brier":
        low, high = known.interval()
        assert (found.low, found.high) == pytest.approx((low, high), abs=0.08 * (high - low))


def test_no_change_has_an_interval_of_no_width_and_a_single_group_has_none():
    side = drawn(5, 60)
    same = paired_calibration(side, side, range(60))
    assert (same.ece.change.low, same.ece.change.high) == (0.0, 0.0)
    single = paired_calibration(side, drawn(6, 60), ["document"] * 60)
    assert single.ece.change.low is None
    assert single.brier.before.high is None


def test_what_cannot_be_calibrated_is_refused():
    side, none = drawn(7, 10), Confidences(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="vectors of one length"):
        paired_calibration(side, drawn(7, 11), range(10))
    with pytest.raises(HoldfastError, match="no choice to calibrate"):
        paired_calibration(none, none, [])
    unknown = Confidences(side.confidence, side.right)
    assert paired_calibration(unknown, side, range(10)).brier is None
    assert paired_calibration(side, unknown, range(10)).brier is None


def test_the_interval_of_a_calibration_error_makes_up_for_its_bias():
    # The base is calibrated, so its error of .05 is nothing but noise, and the measured change is too small.
    before, after = drawn(3, 200), drawn(4, 200, 0.25)
    row = paired_calibration(before, after, range(200))
    for figure in (row.ece, row.adaptive_ece):
        change = figure.change
        assert change.high - change.value > change.value - change.low
        assert figure.before.low == 0.0
        assert figure.before.high < 2.5 * figure.before.value


@pytest.mark.slow
@pytest.mark.parametrize(("shifts", "least"), [((0.0, 0.25), 0.85), ((0.0, 0.0), 0.85), ((0.1, 0.25), 0.85)])
def test_intervals_of_the_changes_hold_the_truth_about_as_often_as_they_say(shifts, least):
    """Measured, of 200: docs/calibration.md has the figures."""
    rounds, n = 200, 400
    held = dict.fromkeys(("ece", "adaptive_ece", "brier", "overconfidence"), 0)
    far = [drawn(10_000 + place, 400_000, shift) for place, shift in enumerate(shifts)]
    truth = {
        "ece": np.diff([expected_calibration_error(s.confidence, s.right) for s in far])[0],
        "adaptive_ece": np.diff([adaptive_calibration_error(s.confidence, s.right) for s in far])[0],
        "brier": np.diff([s.brier.mean() for s in far])[0],
        "overconfidence": np.diff([s.confidence.mean() - s.right.mean() for s in far])[0],
    }
    for seed in range(rounds):
        sides = (drawn(2 * seed + place, n, shift) for place, shift in enumerate(shifts))
        row = paired_calibration(*sides, range(n), resamples=400)
        for name in held:
            change = getattr(row, name).change
            held[name] += change.low <= truth[name] <= change.high
    print(shifts, held)
    assert min(held.values()) >= least * rounds
