"""How many items a claim needs, and how small a loss so many prove."""

import math

import numpy as np
import pytest
from scipy import stats

from holdfast.stats.flips import Flips
from holdfast.stats.power import items_needed, least_provable, times_needed
from holdfast.stats.verdict import judge


def test_so_many_items_show_it_four_times_in_five():
    rng, n = np.random.default_rng(2), items_needed(0.02, 0.04)
    kept = 0
    for _ in range(400):
        lost, gained, rest = (int(count) for count in rng.multinomial(n, [0.02, 0.02, 0.96]))
        kept += judge(Flips(rest, lost, gained, n, n, float(n)), 0.02).word == "kept"
    assert 0.74 <= kept / 400 <= 0.87


def test_the_least_provable_loss_is_the_one_that_needs_so_many_items():
    for items, discordance in ((500, 0.1), (40, 0.04), (12_000, 0.3)):
        assert items_needed(least_provable(items, discordance) - 1e-12, discordance) in (items, items + 1)
    assert items_needed(1, 0.01) == 1
    by_hand = (stats.norm.ppf(0.95) + stats.norm.ppf(0.8)) * math.sqrt(0.1 / 500)
    assert least_provable(500, 0.1) == pytest.approx(by_hand)


def test_the_verdict_counts_items_by_the_same_formula():
    evidence = Flips(60, 2, 2, 100, 100, 100.0)
    found = judge(evidence, 0.02)
    assert found.word == "not enough evidence"
    assert found.factor == times_needed(evidence.statistic(-0.02))
    assert times_needed(0.0) == math.inf


def test_what_makes_no_sense_is_refused():
    for wrong in ((0.0, 0.1), (0.02, 0.0), (0.02, 1.1), (1.5, 0.1)):
        with pytest.raises(ValueError, match="give a share above 0"):
            items_needed(*wrong)
    with pytest.raises(ValueError, match="at least one"):
        least_provable(0, 0.1)
