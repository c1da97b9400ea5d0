"""The search for the edit and its strength, on curves whose best point is known."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.bench.heal.search import PARTS, Point, Reading, monotone, search

NAMES = ("a", "b", "c", "d", "e", "f", "g", "h")


class Curves:
    """For each edit a loss and a gain that grow with the strength as powers; it counts what it is asked."""

    def __init__(self, end, losses, gains, nothing=0.0):
        self.end, self.nothing = end, nothing
        self.losses, self.gains = dict(zip(NAMES, losses, strict=False)), dict(zip(NAMES, gains, strict=False))
        self.parts = {}
        self.cost = 0.0

    def reading(self, edit, strength):
        loss = self.nothing + (self.end - self.nothing) * strength ** self.losses[edit]
        return Reading(loss, 90.0 * strength ** self.gains[edit])

    def __call__(self, edit, strength, parts):
        assert 0 < strength < 1
        before = self.parts.get((edit, strength), 0)
        assert parts > before, "nothing is asked twice"
        self.cost += (parts - before) / PARTS
        self.parts[edit, strength] = parts
        return self.reading(edit, strength)

    def best(self):
        """The most gain of any edit where its loss is the budget."""
        share = (1 - self.nothing) / (self.end - self.nothing)
        return max(90.0 * share ** (self.gains[name] / self.losses[name]) for name in self.losses)

    def search(self, evaluations=11.0):
        return search(list(self.losses), self, Reading(self.end, 90.0), evaluations, self.nothing)


powers = st.lists(st.floats(0.8, 4.0), min_size=8, max_size=8)


@settings(max_examples=300)
@given(st.floats(1.5, 20), powers, st.lists(st.floats(0.3, 3.0), min_size=8, max_size=8), st.floats(0, 0.5))
def test_it_ends_inside_the_budget_within_its_evaluations(end, losses, gains, nothing):
    curves = Curves(end, losses, gains, nothing)
    came = curves.search()
    assert came.evaluations == pytest.approx(curves.cost)
    assert came.evaluations <= 11.0 + 1e-9
    assert came.best is not None
    assert came.best.inside
    assert came.best.parts == PARTS


def test_it_comes_near_the_best_point_on_many_curves():
    draw, shares = random.Random(0), []
    for _ in range(200):
        losses, gains = ([draw.uniform(*ends) for _ in NAMES] for ends in ((1, 3), (0.5, 2)))
        curves = Curves(draw.uniform(1.5, 30), losses, gains, draw.uniform(0, 0.5))
        shares.append(curves.search().best.reading.gain / curves.best())
    assert statistics.fmean(shares) > 0.97
    assert sorted(shares)[10] > 0.93


@settings(max_examples=100)
@given(st.floats(1.5, 20), st.floats(0.8, 4), st.floats(2, 20))
def test_a_single_edit_is_bisected_to_its_budget(end, power, evaluations):
    curves = Curves(end, [power], [1.0])
    came = curves.search(evaluations)
    assert came.evaluations <= evaluations
    if evaluations >= 8:
        assert came.best is not None
        assert came.best.strength >= 0.9 * (1 / end) ** (1 / power)


@given(st.floats(2, 40))
def test_few_evaluations_try_fewer_edits_and_never_cost_more(evaluations):
    curves = Curves(10.0, [1.0] * 8, [1.0] * 8)
    came = curves.search(evaluations)
    assert came.evaluations == pytest.approx(curves.cost)
    assert came.evaluations <= evaluations + 1e-9
    tried = {point.edit for point in came.points}
    assert tried == set(NAMES[: len(tried)])
    assert any(point.parts == PARTS for point in came.points)


def test_a_curve_that_is_outside_at_every_strength_has_no_best_point():
    came = search(["a"], lambda edit, strength, parts: Reading(2 + strength, strength), Reading(3.0, 1.0), 11.0)
    assert came.best is None
    assert came.nearest is not None
    assert came.nearest.reading.spent == min(p.reading.spent for p in came.points if p.parts == PARTS)


def test_a_first_reading_that_was_too_kind_is_corrected_on_all_items():
    def evaluate(edit, strength, parts):
        return Reading((10 if parts == PARTS else 5) * strength, strength)

    came = search(["a", "b"], evaluate, Reading(10.0, 1.0), 11.0)
    assert came.best is not None
    assert 0.08 <= came.best.strength <= 0.1


def test_the_edit_that_learns_more_at_the_same_loss_wins():
    gains = {"a": 1.0, "b": 2.0, "c": 1.5}
    came = search(["a", "b", "c"], lambda e, s, p: Reading(10 * s, gains[e] * s), Reading(10.0, 3.0), 11.0)
    assert came.best is not None
    assert came.best.edit == "b"


def test_readings_that_fall_are_pooled():
    assert monotone([1.0, 3.0, 2.0, 4.0]) == [1.0, 2.5, 2.5, 4.0]
    assert monotone([3.0, 2.0, 1.0]) == [2.0, 2.0, 2.0]
    assert not Point("a", 0.5, 4, Reading(math.inf, 0.0)).inside
