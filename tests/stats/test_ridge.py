"""Ridge regression against scipy's least squares and its minimum, and the groups that it leaves out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize

from holdfast.stats.ridge import left_out, ridge


@pytest.fixture
def rows():
    draw = np.random.default_rng(0)
    features = draw.normal(size=(40, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, 1.0]
    values = 2.0 + features @ [1.0, -0.2, 3.0] + 0.3 * draw.normal(size=40)
    return features, values, [int(k) for k in draw.integers(0, 5, size=40)]


def weights_of(groups):
    sizes = {group: groups.count(group) for group in groups}
    return np.array([1 / (sizes[group] * len(sizes)) for group in groups])


def test_without_a_penalty_it_is_least_squares_with_a_level_for_each_group(rows):
    features, values, groups = rows
    root = np.sqrt(weights_of(groups))
    design = np.column_stack([features, *(np.array(groups) == group for group in sorted(set(groups)))])
    expected = scipy.linalg.lstsq(design * root[:, None], values * root)[0]
    fit = ridge(features, values, groups, 0.0)
    np.testing.assert_allclose(fit.slopes_F, expected[:3], rtol=1e-9)
    assert fit.intercept == pytest.approx(np.mean(expected[3:]))


def test_with_a_penalty_it_is_the_minimum_that_scipy_finds(rows):
    features, values, groups = rows
    weights, names = weights_of(groups), np.array(groups)
    apart, deviation = features.copy(), values.copy()
    for group in set(groups):
        apart[names == group] -= features[names == group].mean(0)
        deviation[names == group] -= values[names == group].mean()
    standard = apart / np.sqrt(weights @ apart**2)

    def cost(slopes):
        return weights @ (deviation - standard @ slopes) ** 2 + 0.3 * slopes @ slopes

    best = scipy.optimize.minimize(cost, np.zeros(3), tol=1e-12).x
    fit = ridge(features, values, groups, 0.3)
    np.testing.assert_allclose(apart @ fit.slopes_F, standard @ best, atol=1e-5)
    assert weights @ (values - fit(features)) == pytest.approx(0, abs=1e-9)


def test_what_sets_a_group_apart_bends_no_slope(rows):
    features, values, groups = rows
    moved = values + np.array([100.0 * (group == 2) for group in groups])
    fit, other = ridge(features, values, groups, 0.3), ridge(features, moved, groups, 0.3)
    np.testing.assert_allclose(fit.slopes_F, other.slopes_F, rtol=1e-9)
    assert other.intercept == pytest.approx(fit.intercept + 100.0 / len(set(groups)))


def test_units_of_features_do_not_matter(rows):
    features, values, groups = rows
    fit, scaled = ridge(features, values, groups, 0.3), ridge(features * [1.0, 100.0, 0.01], values, groups, 0.3)
    np.testing.assert_allclose(fit(features), scaled(features * [1.0, 100.0, 0.01]), rtol=1e-9)


def test_rows_that_stand_twice_in_one_group_change_nothing(rows):
    features, values, groups = rows
    twice = [i for i, group in enumerate(groups) for _ in range(2 if group == 0 else 1)]
    fit = ridge(features, values, groups, 0.3)
    again = ridge(features[twice], values[twice], [groups[i] for i in twice], 0.3)
    np.testing.assert_allclose(fit.slopes_F, again.slopes_F, rtol=1e-9)


def test_a_feature_that_does_not_vary_gets_no_slope(rows):
    features, values, groups = rows
    fit = ridge(np.column_stack([features, np.full(40, 7.0)]), values, groups, 0.0)
    assert fit.slopes_F[3] == 0.0


def test_a_group_that_is_left_out_is_not_seen(rows):
    features, values, groups = rows
    out = np.array(groups) == 2
    predicted = left_out(features, values, groups, 0.3)
    changed = left_out(features, np.where(out, values + 100.0, values), groups, 0.3)
    np.testing.assert_allclose(predicted[out], changed[out])
    assert np.abs(predicted[~out] - changed[~out]).min() > 0.1


def test_what_is_refused(rows):
    features, values, groups = rows
    with pytest.raises(ValueError):
        ridge(features, values[:-1], groups, 0.0)
    with pytest.raises(ValueError):
        left_out(features, values, [0] * 40, 0.0)
