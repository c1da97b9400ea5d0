"""The search for the edit and its strength, on curves whose best point is known."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.bench.heal.search import GLANCE, Glance, Point, Reading, monotone, search

NAMES = ("a", "b", "c", "d", "e", "f", "g", "h")


class Curves:
    """Edits whose drift and way are powers of the strength; loss and gain follow from them. It counts what it costs."""

    def __init__(self, end, drifts, ways, nothing=0.0, harms=None, bend=1.0):
        self.end, self.nothing, self.bend = end, nothing, bend
        self.drifts, self.ways = dict(zip(NAMES, drifts, strict=False)), dict(zip(NAMES, ways, strict=False))
        self.harms = dict(zip(NAMES, harms or [1.0] * len(drifts), strict=False))
        self.asked = []
        self.cost = 0.0

    def spent(self, edit, strength):
        drift = min(1.0, self.harms[edit] * strength ** self.drifts[edit])
        return self.nothing + (self.end - self.nothing) * drift**self.bend

    def gain(self, edit, strength):
        return 90.0 * strength ** self.ways[edit]

    def glance(self, edit, strength):
        self._count(("glance", edit, strength), GLANCE)
        return Glance(strength ** self.drifts[edit], strength ** self.ways[edit])

    def read(self, edit, strength):
        self._count(("read", edit, strength), 1.0)
        return Reading(self.spent(edit, strength), self.gain(edit, strength))

    def _count(self, what, cost):
        assert 0 < what[2] < 1
        assert what not in self.asked, "nothing is asked twice"
        self.asked.append(what)
        self.cost += cost

    def best(self):
        """The most gain of any edit inside the budget, on a fine grid."""
        inside = [(e, k / 500) for e in self.drifts for k in range(1, 500) if self.spent(e, k / 500) <= 1]
        return max((self.gain(*point) for point in inside), default=0.0)

    def search(self, evaluations=11.0):
        tuned = Reading(self.end, 90.0)
        return search(list(self.drifts), self.glance, self.read, tuned, evaluations, self.nothing)


powers = st.lists(st.floats(1.0, 4.0), min_size=8, max_size=8)


@settings(max_examples=200)
@given(st.floats(1.5, 20), powers, powers, st.floats(0, 0.6), st.floats(0.7, 1.4))
def test_it_ends_inside_the_budget_within_its_evaluations(end, drifts, ways, nothing, bend):
    curves = Curves(end, drifts, ways, nothing, bend=bend)
    came = curves.search()
    assert came.evaluations == pytest.approx(curves.cost)
    assert came.evaluations <= 11.0 + 1e-9
    assert came.best is not None
    assert came.best.inside


def test_it_comes_near_the_best_point_on_many_curves():
    draw, shares = random.Random(0), []
    for _ in range(150):
        drifts, ways, harms = ([draw.uniform(*ends) for _ in NAMES] for ends in ((1.5, 4), (0.5, 4), (0.8, 1.25)))
        curves = Curves(draw.uniform(1.5, 15), drifts, ways, draw.uniform(0, 0.6), harms, draw.uniform(0.8, 1.3))
        shares.append(curves.search().best.reading.gain / curves.best())
    assert statistics.fmean(shares) > 0.9
    assert sorted(shares)[15] > 0.75


@given(st.floats(1.5, 20), st.floats(1.0, 4.0), st.floats(0.8, 1.3))
def test_a_single_edit_comes_to_its_budget(end, power, bend):
    curves = Curves(end, [power], [1.0], bend=bend)
    assert curves.search(8.0).best.reading.gain >= 0.93 * curves.best()


@given(st.floats(2, 40))
def test_few_evaluations_try_fewer_edits_and_never_cost_more(evaluations):
    curves = Curves(10.0, [2.0] * 8, [1.0] * 8)
    came = curves.search(evaluations)
    assert came.evaluations == pytest.approx(curves.cost)
    assert came.evaluations <= evaluations + 1e-9
    tried = {point.edit for point in came.points}
    assert tried == set(NAMES[: len(tried)])
    assert any(isinstance(point.result, Reading) for point in came.points)


def test_a_curve_that_is_outside_at_every_strength_has_no_best_point():
    came = search(["a"], lambda e, s: Glance(s, s), lambda e, s: Reading(2 + s, s), Reading(3.0, 1.0), 11.0)
    assert came.best is None
    assert came.nearest is not None
    assert came.nearest.reading.spent == min(p.reading.spent for p in came.points if isinstance(p.result, Reading))


def test_a_drift_that_promised_too_much_is_corrected_by_readings():
    came = search(["a"], lambda e, s: Glance(s**4, s), lambda e, s: Reading(10 * s, s), Reading(10.0, 1.0), 11.0)
    assert came.best is not None
    assert 0.08 <= came.best.strength <= 0.1


def test_the_edit_that_learns_more_at_the_same_drift_wins():
    ways = {"a": 2.0, "b": 1.0, "c": 1.5}
    came = search(
        ["a", "b", "c"],
        lambda e, s: Glance(s**2, s ** ways[e]),
        lambda e, s: Reading(10 * s**2, 100 * s ** ways[e]),
        Reading(10.0, 100.0),
        11.0,
    )
    assert came.best is not None
    assert came.best.edit == "b"


def test_the_base_drifts_nowhere_and_glances_that_fall_do_no_harm():
    curve = {"a": [0.0, -0.1, 0.3]}
    came = search(
        ["a"],
        lambda e, s: Glance(curve[e].pop(0), 1 - s),
        lambda e, s: Reading(10 * s, s),
        Reading(10.0, 1.0),
        6.0,
    )
    assert came.best is not None
    assert came.evaluations <= 6


def test_values_that_fall_are_pooled():
    assert monotone([1.0, 3.0, 2.0, 4.0]) == [1.0, 2.5, 2.5, 4.0]
    assert monotone([3.0, 2.0, 1.0]) == [2.0, 2.0, 2.0]
    assert not Point("a", 0.5, Reading(math.inf, 0.0)).inside
