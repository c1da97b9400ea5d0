"""The quantile of grouped scores against brute force, its guarantee on synthetic groups, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from holdfast.stats.conformal import grouped_quantile


def by_brute_force(scores, groups, confidence):
    """Tries every score as the limit."""
    names = sorted(set(groups))
    for limit in sorted(scores):
        reached = sum(
            np.mean([score <= limit for score, group in zip(scores, groups, strict=True) if group == name])
            for name in names
        )
        if reached / (len(names) + 1) >= confidence - 1e-12:
            return limit
    return math.inf


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_limit_that_brute_force_finds(seed, confidence):
    draw = np.random.default_rng(seed)
    groups = [int(k) for k in draw.integers(0, 12, size=80)]
    scores = draw.exponential(size=80)
    assert grouped_quantile(scores, groups, confidence) == by_brute_force(scores.tolist(), groups, confidence)


def test_one_score_a_group_is_the_usual_conformal_quantile():
    scores = np.arange(1.0, 20.0)  # 19 scores: ceil(20 * 0.9) = 18
    assert grouped_quantile(scores, range(19), 0.9) == 18.0


def test_a_large_group_counts_as_much_as_a_small_one():
    scores = [1.0] * 1000 + [float(k) for k in range(2, 21)]
    groups = ["large"] * 1000 + list(range(19))
    assert grouped_quantile(scores, groups, 0.9) == 19.0


def test_without_the_guarantee_it_is_the_quantile_of_the_scores():
    scores = np.arange(1.0, 21.0)
    assert grouped_quantile(scores, range(20), 0.9, guaranteed=False) == 18.0
    assert grouped_quantile(scores, range(20), 0.9) == 19.0
    assert grouped_quantile(scores, [0] * 20, 0.9, guaranteed=False) == 18.0  # finite with a single group


def test_too_few_groups_give_no_finite_limit():
    scores = np.arange(80.0)
    assert grouped_quantile(scores, [k % 8 for k in range(80)], 0.9) == math.inf
    assert grouped_quantile(scores, [k % 9 for k in range(80)], 0.9) == 79.0


def test_it_covers_new_groups_at_its_level():
    draw, inside = np.random.default_rng(0), []
    for _ in range(3000):
        shift = draw.normal(size=13)  # what the rows of a group share
        scores = np.abs(shift[:12, None] + 0.5 * draw.normal(size=(12, 5)))
        limit = grouped_quantile(scores.ravel(), np.repeat(np.arange(12), 5).tolist(), 0.8)
        inside.append(abs(shift[12] + 0.5 * draw.normal()) <= limit)
    assert 0.78 < np.mean(inside) < 0.90


@pytest.mark.parametrize(
    ("scores", "groups", "confidence"), [([], [], 0.9), ([1.0], [], 0.9), ([1.0], [1], 1.0), ([1.0], [1], 0.0)]
)
def test_what_it_refuses(scores, groups, confidence):
    with pytest.raises(ValueError):
        grouped_quantile(scores, groups, confidence)
