"""The evidence that other items will give: that of as many items with the same shares of flips."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.stats.flips import Flips, flips
from holdfast.stats.foreseen import Foreseen
from holdfast.stats.graded import graded
from holdfast.stats.paired import paired_change
from holdfast.stats.pooled import pooled
from holdfast.stats.verdict import judge

COUNTS = st.tuples(st.integers(0, 40), st.integers(0, 15), st.integers(0, 15), st.integers(2, 30))


def counted(right: int, lost: int, gained: int, wrong: int) -> Flips:
    items = right + lost + gained + wrong
    return Flips(right, lost, gained, items, items, float(items))


@given(COUNTS, st.integers(1, 5))
def test_more_items_with_the_same_flips_have_the_foreseen_interval(counts, times):
    seen, others = counted(*counts), counted(*(times * count for count in counts))
    expected = Foreseen(seen, 1 / times, times * seen.items)
    assert expected.change == pytest.approx(others.change)
    assert expected.unseen == pytest.approx(others.unseen)
    assert expected.statistic(-0.02) == pytest.approx(others.statistic(-0.02), rel=1e-6, abs=1e-9)
    assert expected.interval(0.9) == pytest.approx(others.interval(0.9), abs=1e-6)


@given(COUNTS, st.integers(1, 6), st.floats(-0.3, 0.3))
def test_the_statistic_is_that_of_the_suite_so_that_its_degrees_of_freedom_count_once(counts, size, change):
    right, lost, gained, wrong = counts
    moves = [(1.0, 1.0)] * right + [(1.0, 0.0)] * lost + [(0.0, 1.0)] * gained + [(0.0, 0.0)] * wrong
    seen = flips(*zip(*moves, strict=True), [n // size for n in range(len(moves))])
    expected = Foreseen(seen, 1.0, seen.groups)
    assert expected.statistic(change) == pytest.approx(seen.statistic(change), rel=1e-6, abs=1e-9)
    assert judge(expected, 0.02).p_forgot == pytest.approx(judge(seen, 0.02).p_forgot, abs=1e-6)


def test_a_mean_of_foreseen_parts_is_that_of_parts_with_more_items():
    parts = [counted(30, 3, 1, 6), counted(10, 0, 0, 2), counted(20, 5, 4, 11)]
    more = [counted(60, 6, 2, 12), counted(30, 0, 0, 6), counted(20, 5, 4, 11)]
    expected = [Foreseen(part, part.items / other.items, other.items) for part, other in zip(parts, more, strict=True)]
    assert pooled(expected).interval() == pytest.approx(pooled(more).interval(), abs=1e-7)


def test_graded_scores_and_texts_scale_alike():
    generator = np.random.default_rng(0)
    before, after = generator.random(40), generator.random(40)
    seen = graded(before, after)
    twice = dataclasses.replace(seen, fell=2 * seen.fell, rose=2 * seen.rose, items=80, groups=80, effective=80.0)
    assert Foreseen(seen, 0.5, 80).interval() == pytest.approx(twice.interval(), abs=1e-6)
    texts = paired_change(before, after, np.ones(40))
    half = Foreseen(texts, 0.25, 160)
    assert half.variance(0.0) == pytest.approx(texts.variance(0.0) / 4)
    assert half.degrees == 159


def test_groups_of_the_others_give_the_degrees_of_freedom():
    groups = [n // 5 for n in range(50)]
    seen = flips([1.0] * 50, [float(n % 7 > 0) for n in range(50)], groups)
    few, many = Foreseen(seen, 1.0, 3), Foreseen(seen, 1.0, 300)
    assert (few.degrees, many.degrees) == (2.0, 299.0)
    assert few.interval()[0] < many.interval()[0] < seen.change
    assert Foreseen(seen, 1.0, seen.groups).interval() == pytest.approx(seen.interval(), abs=1e-6)


def test_a_single_group_foresees_nothing():
    one = flips([1.0, 1.0], [1.0, 0.0], ["a", "a"])
    assert Foreseen(one, 0.5, 20).interval() == (-1.0, 1.0)
    assert math.isinf(Foreseen(one, 0.5, 20).variance(0.0))
    text = paired_change([1.0], [2.0], [1.0])
    assert Foreseen(text, 0.5, 20).interval() == (-math.inf, math.inf)
