"""Forgetting item by item."""

import math

import numpy as np
import pytest

from holdfast.stats.flips import Flips, flips
from holdfast.stats.forgetting import forgetting_of


def table(right, lost, gained, items):
    return Flips(right, lost, gained, items, items, float(items))


def test_by_hand():
    # 100 items of 4 choices: 80 right before, 70 after, 15 lost, 5 gained; guessing flips .2 * .3 / 3 = .02 either way.
    found = forgetting_of({4: table(65, 15, 5, 100)})
    assert found.negative_flips == 0.15
    assert found.relative == pytest.approx(0.15 / (0.8 * 0.3))
    assert found.of_right == pytest.approx(15 / 80)
    assert (found.lost, found.gained) == (pytest.approx(0.13), pytest.approx(0.03))
    assert found.known == pytest.approx((4 * 0.8 - 1) / 3)
    assert found.of_known == pytest.approx(0.13 / ((4 * 0.8 - 1) / 3))


def test_of_two_models_that_guess_nothing_is_forgotten():
    rng = np.random.default_rng(0)
    before, after = (rng.integers(0, 4, 40_000) == 0 for _ in range(2))
    found = forgetting_of({4: flips(before, after)})
    assert found.negative_flips == pytest.approx(0.25 * 0.75, abs=0.01)
    assert (found.lost, found.known) == (pytest.approx(0, abs=0.01), pytest.approx(0, abs=0.01))


def test_what_is_known_and_lost_is_seen_through_the_guesses():
    rng = np.random.default_rng(1)
    known, still = rng.random(100_000) < 0.6, rng.random(100_000) < 0.75
    before = known | (rng.integers(0, 4, 100_000) == 0)
    after = (known & still) | (rng.integers(0, 4, 100_000) == 0)
    found = forgetting_of({4: flips(before, after)})
    assert found.known == pytest.approx(0.6, abs=0.01)
    # 19 in 100 items flip, of which the formula leaves 14.7; of the 60 that were known 15 are no longer.
    assert found.negative_flips == pytest.approx(0.1875, abs=0.005)
    assert found.lost == pytest.approx(0.15, abs=0.01)


def test_generated_answers_are_not_guessed():
    found = forgetting_of({math.inf: table(70, 10, 0, 100)})
    assert (found.lost, found.known, found.gained) == (0.1, 0.8, 0.0)
    assert found.of_known == found.of_right == pytest.approx(0.125)
    assert math.inf not in vars(found).values()


def test_where_nothing_was_known_nothing_can_be_said_to_be_lost():
    found = forgetting_of({math.inf: table(0, 0, 3, 10)})
    assert (found.of_known, found.of_right, found.relative) == (None, None, None)
    with pytest.raises(ValueError, match="at least 2"):
        forgetting_of({1: table(1, 1, 1, 10)})


def test_guessing_is_taken_out_by_the_choices_of_each_item():
    """By an independent loop over items of two, four and no choices, of which half are guessed."""
    rng, by, lost, known = np.random.default_rng(3), {}, 0.0, 0.0
    for options, count in ((2, 20_000), (4, 10_000), (math.inf, 5_000)):
        chance = 0.0 if math.isinf(options) else 1 / options
        knew = rng.random(count) < 0.5
        still = knew & (rng.random(count) < 0.8)
        before, after = (known_ | (rng.random(count) < chance) for known_ in (knew, still))
        by[options] = flips(before, after)
        for right, now in ((before, after),):
            a, b = right.mean(), now.mean()
            lost += (right & ~now).sum() - (count * (1 - a) * (1 - b) / (options - 1))
            known += count * (a if math.isinf(options) else (options * a - 1) / (options - 1))
    found = forgetting_of(by)
    assert found.lost == pytest.approx(lost / 35_000)
    assert found.known == pytest.approx(known / 35_000)
    assert (found.lost, found.known) == (pytest.approx(0.1, abs=0.01), pytest.approx(0.5, abs=0.01))
    assert found.of_known == pytest.approx(0.2, abs=0.02)


def test_where_the_number_of_choices_is_not_known_nothing_is_said_of_guessing():
    found = forgetting_of({None: table(62, 188, 187, 1000)})
    assert (found.negative_flips, found.of_right) == (0.188, 188 / 250)
    assert (found.lost, found.known, found.of_known, found.gained) == (None, None, None, None)
    some = forgetting_of({None: table(62, 188, 187, 1000), 4: table(62, 188, 187, 1000)})
    assert some.lost is None
    with pytest.raises(ValueError, match="at least one item"):
        forgetting_of({})
