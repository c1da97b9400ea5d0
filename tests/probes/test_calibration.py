"""Calibration of choices."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.probes.answers import Answer
from holdfast.probes.calibration import calibration
from holdfast.probes.choice import Choice
from holdfast.probes.items import Item


def answer(*probabilities, confidence=None):
    """An answer of which the choices have these probabilities; the first choice is right."""
    choice = Choice(tuple(-math.log(p) for p in probabilities), (1,) * len(probabilities))
    place = choice.picked
    confidence = choice.probabilities[place] if confidence is None else confidence
    return Answer(Item("a", "s"), "choice", float(place == 0), choice=choice, picked=place, confidence=confidence)


def test_by_hand():
    asked = [
        answer(0.95, 0.05),
        answer(0.93, 0.07),
        answer(0.4, 0.6, confidence=0.6),
        answer(0.36, 0.64),
        answer(0.62, 0.38),
    ]
    found = calibration(asked)
    # Two right at 0.94 on average; one of three right at (0.6 + 0.64 + 0.62) / 3, of which 0.6 is in the bin below.
    assert found.count == 5
    assert [one.count for one in found.bins] == [0, 0, 0, 0, 0, 1, 2, 0, 0, 2]
    assert found.bins[9].confidence == pytest.approx(0.94)
    assert (found.bins[9].accuracy, found.bins[6].accuracy, found.bins[5].accuracy) == (1.0, 0.5, 0.0)
    assert (found.bins[0].confidence, found.bins[0].accuracy) == (None, None)
    assert found.ece == pytest.approx((2 * 0.06 + 2 * 0.13 + 0.6) / 5)
    brier = 2 * (0.05**2 + 0.07**2 + 0.6**2 + 0.64**2 + 0.38**2) / 5
    assert found.brier == pytest.approx(brier)


def test_sure_and_right_is_nothing_and_sure_and_wrong_is_all():
    right = calibration([answer(1 - 1e-12, 1e-12)])
    wrong = calibration([answer(1e-12, 1 - 1e-12)])
    assert (right.ece, right.brier) == pytest.approx((0, 0), abs=1e-9)
    assert (wrong.ece, wrong.brier) == pytest.approx((1, 2), abs=1e-9)


def test_right_as_often_as_sure():
    found = calibration([answer(0.75, 0.25)] * 3 + [answer(0.25, 0.75)])
    assert found.ece == pytest.approx(0, abs=1e-12)


odds = st.lists(st.floats(0.01, 1), min_size=2, max_size=4)


@given(st.lists(odds, min_size=1, max_size=30), st.integers(1, 15))
def test_it_is_what_numpy_counts(drawn, bins):
    asked = [answer(*(np.array(own) / sum(own))) for own in drawn]
    found = calibration(asked, bins=bins)
    sure = np.array([one.confidence for one in asked])
    right = np.array([one.picked == 0 for one in asked], float)
    edges = np.arange(bins + 1) / bins
    places = np.digitize(sure, edges[1:-1], right=True)
    total = 0.0
    for k in range(bins):
        inside = places == k
        assert found.bins[k].count == inside.sum()
        assert (found.bins[k].low, found.bins[k].high) == (edges[k], edges[k + 1])
        if inside.any():
            assert found.bins[k].confidence == pytest.approx(sure[inside].mean())
            assert found.bins[k].accuracy == pytest.approx(right[inside].mean())
            total += inside.mean() * abs(sure[inside].mean() - right[inside].mean())
    assert found.ece == pytest.approx(total, abs=1e-12)
    squares = [
        ((np.array(one.choice.probabilities) - np.eye(len(own))[0]) ** 2).sum()
        for one, own in zip(asked, drawn, strict=True)
    ]
    assert found.brier == pytest.approx(np.mean(squares))
    assert 0 <= found.ece <= 1
    assert 0 <= found.brier <= 2


def test_other_forms_do_not_count():
    other = Answer(Item("b", "s"), "generate", 1.0, said="x")
    assert calibration([other, answer(0.7, 0.3)]) == calibration([answer(0.7, 0.3)])
    with pytest.raises(HoldfastError, match="no multiple-choice answer"):
        calibration([other])
    with pytest.raises(ValueError, match="bins 0"):
        calibration([answer(0.7, 0.3)], bins=0)
