"""Kept, forgot, or not enough evidence; several suites; and how often the words are wrong."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from holdfast.stats.flips import Flips, flips
from holdfast.stats.paired import Change, paired_change
from holdfast.stats.pooled import pooled
from holdfast.stats.verdict import Verdict, holm, judge, settle, together


def table(lost, gained, items):
    return Flips(items - lost - gained, lost, gained, items, items, float(items))


@pytest.mark.parametrize(
    ("lost", "gained", "items", "word"),
    [
        (10, 8, 1000, "kept"),
        (80, 10, 1000, "forgot"),
        (30, 12, 1000, "not enough evidence"),
        (1, 0, 26, "not enough evidence"),
        (0, 0, 26, "not enough evidence"),
        (0, 0, 200, "kept"),
    ],
)
def test_the_word_follows_the_bounds(lost, gained, items, word):
    found = judge(table(lost, gained, items), 0.02)
    assert found.word == word
    assert (found.word == "kept") == (found.most < 0.02) == (found.p_kept < 0.05)
    assert (found.word == "forgot") == (found.least > 0.02) == (found.p_forgot < 0.05)
    assert found.p_kept + found.p_forgot == pytest.approx(1)


def test_nats_are_lost_by_rising():
    rng = np.random.default_rng(0)
    before, noise = rng.normal(3, 0.3, 200), rng.normal(0, 0.05, 200)
    for rise, word in ((0.001, "kept"), (0.1, "forgot"), (0.021, "not enough evidence")):
        found = judge(paired_change(before, before + rise + noise, np.ones(200)), 0.02, higher_is_better=False)
        assert found.word == word
        assert found.least < rise + 0.01
        assert found.most > rise - 0.01
        low, high = paired_change(before, before + rise + noise, np.ones(200)).interval(0.9)
        assert (found.least, found.most) == (low, high)


def test_texts_that_did_not_change_are_kept_and_a_single_one_says_nothing():
    assert judge(paired_change([3.0, 4.0], [3.0, 4.0], [1, 1]), 0.02, higher_is_better=False).word == "kept"
    one = judge(paired_change([3.0], [3.5], [1]), 0.02, higher_is_better=False)
    assert (one.word, one.most, one.factor) == ("not enough evidence", math.inf, math.inf)


def test_as_many_items_as_are_said_to_be_needed_settle_it_four_times_in_five():
    rng, factor = np.random.default_rng(1), judge(table(6, 4, 200), 0.02).factor
    n = math.ceil(200 * factor)
    settled = 0
    for _ in range(400):
        lost, gained, _ = rng.multinomial(n, [0.03, 0.02, 0.95])
        settled += judge(table(int(lost), int(gained), n), 0.02).word == "kept"
    assert 0.72 <= settled / 400 <= 0.9
    assert judge(table(10, 8, 1000), 0.02).factor == 1


@pytest.mark.parametrize("items", [26, 100, 1000])
@pytest.mark.parametrize("flipping", [0.0, 0.05])
def test_a_loss_of_exactly_what_is_allowed_is_seldom_called_kept_or_forgot(items, flipping):
    # The hardest truth for either word: at the border both are errors, and each may be made in 5% of all cases.
    rng, words = np.random.default_rng(3), []
    for _ in range(800):
        lost, gained, _ = rng.multinomial(items, [flipping + 0.02, flipping, 0.98 - 2 * flipping])
        words.append(judge(table(int(lost), int(gained), items), 0.02).word)
    assert words.count("kept") / 800 < 0.075
    assert words.count("forgot") / 800 < 0.075


def test_a_single_flip_in_26_items_is_no_verdict():
    # It is 3.8 points: tools that decide by "more than 3%" decide on it.
    assert judge(table(1, 0, 26), 0.03).word == "not enough evidence"


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_plain_values_and_those_of_bonferroni_and_keeps_their_order(values):
    adjusted = holm(values)
    for plain, one in zip(values, adjusted, strict=True):
        assert plain <= one + 1e-12
        assert one <= min(1.0, len(values) * plain) + 1e-12
    order = np.argsort(values, kind="stable")
    assert all(np.diff(np.array(adjusted)[order]) >= 0)


def test_all_is_kept_if_every_suite_is_and_one_that_forgot_is_enough():
    kept, open_, forgot = (judge(table(*c), 0.02) for c in ((5, 5, 1000), (30, 12, 1000), (90, 5, 1000)))
    assert together([kept, kept]) == "kept"
    assert together([kept, open_]) == "not enough evidence"
    assert together([kept, open_, forgot]) == "forgot"
    assert together([kept, open_], means=[kept]) == "kept"
    assert together([kept, forgot], means=[kept]) == "forgot"
    assert together([kept, open_], means=[kept, open_]) == "not enough evidence"
    assert together([kept, open_], means=[forgot]) == "forgot"
    with pytest.raises(ValueError, match="at least one"):
        together([])


def test_gains_of_some_suites_do_not_pay_for_what_another_lost():
    """The mean is kept, and a suite's own test says that it forgot: that is not called kept, if not yet forgot."""
    lost, gained = judge(table(12, 3, 100), 0.02), judge(table(5, 40, 400), 0.02)
    mean = judge(pooled([table(12, 3, 100), *[table(5, 40, 400)] * 3]), 0.02)
    assert (lost.word, gained.word, mean.word) == ("forgot", "kept", "kept")
    found = settle([lost, gained, gained, gained], [mean])
    assert found.adjusted[0] > 0.05
    assert found.word == "not enough evidence"
    assert found.suites == ("not enough evidence", "kept", "kept", "kept")
    assert found.means == ("kept",)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(121, 600)), min_size=1, max_size=6),
    st.booleans(),
)
def test_the_words_on_the_parts_agree_with_that_on_the_whole(counts, every):
    parts = [table(*count) for count in counts]
    verdicts, mean = [judge(part, 0.02) for part in parts], judge(pooled(parts), 0.02)
    means = [mean] if len(parts) > 1 else []
    found = settle(verdicts, means, verdicts if every else [mean])
    assert (found.word == "forgot") == ("forgot" in (*found.suites, *found.means))
    if found.word == "kept":
        assert all(one.word != "forgot" for one in verdicts)
        assert not every or set(found.suites) == {"kept"}
        assert every or mean.word == "kept"
    for own, word in zip(verdicts, found.suites, strict=True):
        assert word == own.word or (own.word, word) == ("forgot", "not enough evidence")


def test_many_suites_are_not_forgotten_by_chance_more_often_than_one():
    rng, alarms = np.random.default_rng(4), 0
    for _ in range(150):
        verdicts = []
        for _ in range(17):
            lost, gained, _ = rng.multinomial(400, [0.05, 0.03, 0.92])
            verdicts.append(judge(table(int(lost), int(gained), 400), 0.02))
        alarms += together(verdicts) == "forgot"
    assert alarms / 150 < 0.08


def test_the_mean_of_suites_by_hand_for_means():
    # Of t intervals MOVER is the square root of the mean square, whatever the side.
    rng = np.random.default_rng(5)
    parts = [paired_change(b := rng.normal(3, 1, 50), b + rng.normal(0.1, 0.2, 50), np.ones(50)) for _ in range(3)]
    mean = pooled(parts)
    half = math.sqrt(sum((p.interval()[1] - p.change) ** 2 for p in parts)) / 3
    assert mean.change == pytest.approx(sum(p.change for p in parts) / 3)
    assert mean.interval() == (pytest.approx(mean.change - half), pytest.approx(mean.change + half))
    assert pooled(parts[:1]).interval() == pytest.approx(parts[0].interval())


def test_the_statistic_of_the_mean_is_that_of_its_bounds():
    mean = pooled([table(12, 4, 300), table(3, 3, 500)])
    low, high = mean.interval(0.9)
    assert mean.statistic(low) == pytest.approx(stats.norm.ppf(0.95), abs=1e-6)
    assert mean.statistic(high) == pytest.approx(stats.norm.ppf(0.05), abs=1e-6)
    assert mean.statistic(mean.change) == 0
    assert mean.statistic(-1) == 8.0


def test_the_same_groups_in_two_suites_make_the_mean_less_certain():
    rng = np.random.default_rng(6)
    people = rng.random(200) < 0.1  # Who is forgotten is forgotten in both suites.
    found = flips(np.ones(200), ~people)
    shift = {i: (-float(gone) + people.mean()) / 200 for i, gone in enumerate(people)}
    alone = pooled([found, found])
    both = pooled([found, found], [shift, shift])
    apart = pooled([found, found], [shift, {f"other {i}": value for i, value in shift.items()}])
    assert both.inflation == pytest.approx(math.sqrt(2))
    assert apart.inflation == 1
    assert apart.interval() == alone.interval()
    # The mean of two copies of a suite is known no better than the suite.
    assert both.interval() == pytest.approx(found.interval())


def test_the_interval_of_the_mean_holds_the_truth():
    rng, held = np.random.default_rng(7), 0
    for _ in range(400):
        parts = []
        for lost, gained, items in ((0.02, 0.0, 60), (0.05, 0.03, 300), (0.0, 0.01, 100)):
            b, c, _ = rng.multinomial(items, [lost, gained, 1 - lost - gained])
            parts.append(table(int(b), int(c), items))
        low, high = pooled(parts).interval()
        held += low <= (-0.02 - 0.02 + 0.01) / 3 <= high
    assert held / 400 >= 0.94


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        judge(table(1, 1, 10), 0)
    with pytest.raises(ValueError, match="at least one part"):
        pooled([])
    with pytest.raises(ValueError, match="for all of them"):
        pooled([table(1, 1, 10)] * 2, [{}])
    assert isinstance(judge(table(1, 1, 10), 0.1), Verdict)


def test_the_noise_floor_is_the_loss_that_is_seen_in_four_of_five_evaluations():
    """Simulated: where the truth is the floor of a suite like it, "no loss" is rejected in about 80%."""
    rng = np.random.default_rng(0)
    floors, seen = [], 0
    truth = 0.0
    for trial in range(1200):
        draws = rng.random(1000)
        lost, gained = int((draws < 0.02 + truth / 2).sum()), int((draws > 1 - 0.02 + truth / 2).sum())
        verdict = judge(table(lost, gained, 1000), 0.5)
        if trial < 200:
            floors.append(verdict.floor)
            truth = 0.0 if trial < 199 else float(np.mean(floors))
        else:
            seen += verdict.least > 0
    assert 0.74 <= seen / 1000 <= 0.86


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_the_floor_is_one_and_a_half_half_widths(higher_is_better):
    found = judge(Change(3.0, 3.1, 0.1, 0.0, 0.2, 1001, 1.0, 0.95, False, 0.05), 1.0, higher_is_better=higher_is_better)
    assert found.floor == pytest.approx((1.6449 + 0.8416) * 0.05, rel=2e-3)


@pytest.mark.slow
def test_a_mean_is_one_of_those_that_are_looked_at():
    """Where every suite lost exactly what is allowed, something is said to have forgot in 5% of the cases."""
    rng, false = np.random.default_rng(5), 0
    for _ in range(300):
        parts = []
        for _ in range(8):
            before, u = rng.random(200) < 0.8, rng.random(200)
            parts.append(flips(before, np.where(before, u >= 0.05 / 0.8, u < 0.03 / 0.2)))
        false += together([judge(part, 0.02) for part in parts], [judge(pooled(parts), 0.02)]) == "forgot"
    assert false / 300 < 0.085
