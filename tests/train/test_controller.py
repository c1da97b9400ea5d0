"""The law of the controller: worked by hand, by properties, and on a simulated training against exhaustive search."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.train.controller import (
    FIRST,
    FORGETS,
    INTEGRAL,
    LARGEST,
    LEAST,
    LOOK,
    MOST,
    PROPORTIONAL,
    RAMP,
    SIGNAL,
    TARGET,
    Control,
    Tick,
    after,
    controlled,
    drift_of,
    shares,
)
from tests.train.plant import Plant

STEPS = 100
NAN = math.nan
signal = st.one_of(st.just(NAN), st.floats(0, 10), st.just(math.inf))
quality = st.one_of(st.just(NAN), st.floats(0, 1))
used = st.one_of(st.just(NAN), st.floats(0, 100), st.just(math.inf))
ticks = st.lists(
    st.builds(
        Tick, st.just(0), task_nll=signal, old_nll=signal, kl=signal, quality=quality, used=used, back=st.just(NAN)
    ),
    min_size=1,
    max_size=30,
).map(lambda row: [dataclasses.replace(tick, step=3 * (i + 1)) for i, tick in enumerate(row)])


def test_a_look_by_hand():
    now = after(Control(), Tick(50, used=2.0), STEPS)
    error = (2.0 / 2 - TARGET) / TARGET
    assert now.estimate == pytest.approx(2.0 / 2), "the start, of which nothing is lost, counts as a look"
    assert now.integral == pytest.approx(INTEGRAL * error * 0.5)
    assert now.pressure == pytest.approx(max(LEAST, PROPORTIONAL * error + now.integral))


def test_the_aim_rises_over_the_first_part_of_the_run():
    early, late = (after(Control(), Tick(step, used=0.0), STEPS) for step in (5, 50))
    assert pytest.approx(early.pressure) == PROPORTIONAL * -(0.05 / RAMP) + INTEGRAL * -(0.05 / RAMP) * 0.05
    assert late.pressure < early.pressure < 0


def test_before_the_first_look_nothing_is_known_and_nothing_is_done():
    now = controlled([Tick(step, kl=9.0, old_nll=9.0, quality=0.1) for step in range(1, 50)], STEPS)
    assert (now.pressure, now.strength, now.odds, now.rate(False), now.rate(True)) == (0, 1, 1, 1, 1)


def test_the_start_and_the_looks_weigh_the_same_until_there_are_some():
    weights = [1 / 2, 1 / 3, LOOK, LOOK]
    estimate = 0.0
    for count, weight in enumerate(weights, 1):
        estimate += weight * (1.0 - estimate)
        found = controlled([Tick(step, used=1.0) for step in range(1, count + 1)], STEPS)
        assert found.estimate == pytest.approx(estimate)


def test_the_drift_carries_the_estimate_on_between_looks():
    there = controlled([Tick(10, kl=0.1, used=0.5), Tick(20, kl=0.2, used=1.0)], STEPS)
    drift = 0.1 + (1 - math.exp(-0.1 / SIGNAL)) * 0.1
    assert there.drift == pytest.approx(drift)
    products, squares = FORGETS * 0.5 * 0.1 + 1.0 * drift, FORGETS * 0.1**2 + drift**2
    for kl in (0.05, 0.3, 0.9):
        smoothed = drift + (1 - math.exp(-0.05 / SIGNAL)) * (kl - drift)
        slope = products / (squares + max(smoothed, drift) ** 2)
        now = after(there, Tick(25, kl=kl), STEPS)
        assert now.estimate == pytest.approx(max(0.0, there.estimate + slope * (smoothed - drift)))
    assert after(there, Tick(25), STEPS).estimate == there.estimate, "without a signal it stays"
    assert after(there, Tick(25, kl=0.3), STEPS).pressure > after(there, Tick(25, kl=0.2), STEPS).pressure


def test_a_drift_that_comes_back_brings_the_estimate_back():
    there = controlled([Tick(10, kl=0.1, used=0.5)], STEPS)
    gone = [Tick(10 + i, kl=kl) for i, kl in enumerate([0.4, 0.02, 0.7, 0.3, *[0.1] * 80])]
    now = there
    for tick in gone:
        now = after(now, tick, STEPS)
    assert now.estimate == pytest.approx(there.estimate)


def test_a_drift_far_beyond_those_at_the_looks_is_not_believed_in_proportion():
    there = controlled([Tick(10, kl=0.001, used=0.5)], STEPS)
    assert after(there, Tick(12, kl=1.0), STEPS).estimate < there.estimate + 0.01


def test_a_tick_without_a_signal_keeps_the_drift_before_it():
    there = controlled([Tick(10, kl=0.1, used=0.5), Tick(12)], STEPS)
    assert there.drift == 0.1
    assert after(there, Tick(14, kl=0.2), STEPS).estimate > there.estimate


def test_without_a_base_the_loss_of_old_examples_is_the_drift():
    assert drift_of(Tick(1, old_nll=2.5), first_old=2.0) == 0.5
    assert drift_of(Tick(1, old_nll=1.5), first_old=2.0) == 0.0
    assert drift_of(Tick(1, old_nll=2.5, kl=0.1), first_old=2.0) == 0.1
    assert drift_of(Tick(1, old_nll=2.5, kl=math.inf), first_old=2.0) == 0.5
    assert math.isnan(drift_of(Tick(1)))
    looked = [Tick(10, old_nll=2.0, used=0.0), Tick(20, old_nll=2.1, used=0.5)]
    assert after(controlled(looked, STEPS), Tick(25, old_nll=2.2), STEPS).estimate > controlled(looked, STEPS).estimate


def test_tokens_of_low_quality_keep_the_run_from_being_let_loose_and_change_nothing_else():
    loose = [after(Control(), Tick(50, used=0.0, quality=q), STEPS).pressure for q in (1.0, 0.5, 0.0, NAN)]
    assert loose[0] == loose[3] == pytest.approx(2 * loose[1])
    assert loose[0] < 0 == loose[2]
    tight = {after(Control(), Tick(50, used=9.0, quality=q), STEPS).pressure for q in (1.0, 0.5, 0.0)}
    assert len(tight) == 1


def test_a_run_that_went_back_goes_on_from_the_estimate_there_and_keeps_its_integral():
    spent = Tick(20, kl=0.4, used=3.0)
    now, went = (after(Control(), tick, STEPS) for tick in (spent, dataclasses.replace(spent, back=0.2)))
    assert (went.integral, went.pressure, went.estimate) == (now.integral, now.pressure, 0.2)
    assert after(went, Tick(22, kl=0.1), STEPS).estimate == 0.2, "its drift is new"


def test_the_integral_does_not_wind_up():
    held = controlled([Tick(step, used=9.0) for step in range(1, 800)], 1000)
    assert held.pressure == MOST
    assert held.integral <= MOST
    free = held
    for step in range(800, 815):  # 15 looks, in which the integral alone would fall by 0.1
        free = after(free, Tick(step, used=0.0), 1000)
    assert free.pressure <= MOST - PROPORTIONAL * (LARGEST + 1) + 0.2
    loose = controlled([Tick(step, used=0.0) for step in range(1, 800)], 1000)
    assert loose.pressure == LEAST
    assert loose.integral >= LEAST


@given(ticks)
def test_the_factors_are_bounded_and_finite_whatever_is_measured(row):
    for now in itertools.accumulate(row, lambda now, tick: after(now, tick, STEPS), initial=Control()):
        assert LEAST <= now.pressure <= MOST
        assert LEAST - LARGEST <= now.integral <= MOST + LARGEST
        assert 2.0**LEAST <= now.strength <= 2.0**MOST
        for alone in (True, False):
            assert 2.0**-MOST <= now.rate(alone) <= 2.0 ** (-LEAST / 2)
        assert not math.isinf(now.estimate)


@given(ticks, st.floats(0, 20), st.floats(0, 20))
def test_the_more_a_look_finds_lost_the_more_the_run_is_held_back(row, low, high):
    low, high = sorted((low, high))
    last = dataclasses.replace(row[-1], step=row[-1].step + 3)
    less, more = (controlled([*row, dataclasses.replace(last, used=value)], STEPS) for value in (low, high))
    assert less.pressure <= more.pressure
    assert less.strength <= more.strength
    assert less.odds <= more.odds
    assert less.rate(False) >= more.rate(False)
    assert less.rate(True) >= more.rate(True)


@given(ticks, st.integers(0, 29))
def test_it_is_a_fold_a_part_of_the_ticks_and_then_the_rest_give_the_same(row, cut):
    first = controlled(row[:cut], STEPS)
    again = first
    for tick in row[cut:]:
        again = after(again, tick, STEPS)
    assert repr(again) == repr(controlled(row, STEPS))


@given(st.one_of(st.just(0.0), st.floats(0.001, 0.95)), st.floats(0.1, 64))
def test_the_weights_give_the_share_and_keep_the_sum(ratio, odds):
    share, new, old = shares(ratio, odds)
    assert (1 - ratio) * new + ratio * old == pytest.approx(1.0)
    assert share == pytest.approx(ratio * old)
    if ratio:
        assert old / new == pytest.approx(odds)


def test_the_penalty_takes_the_first_doublings_and_the_rate_the_rest():
    at = {u: Control(pressure=u) for u in (-2.0, 0.0, FIRST, MOST)}
    assert [now.rate(False) for now in at.values()] == [2.0, 1.0, 1.0, 0.25]
    assert [now.rate(True) for now in at.values()] == [2.0, 1.0, 0.25, 2.0**-MOST]
    assert [now.strength for now in at.values()] == [0.25, 1.0, 4.0, 64.0]


PLANTS = [
    Plant(learns=k, overwrites=g, repairs=h, steps=150, every=15)
    for g, h, k in itertools.product((6, 20, 60), (3, 10), (4, 8))
]


def test_a_simulated_run_is_held_inside_the_budget_that_the_plan_would_overdraw():
    lost = [plant.steered(seed=seed)[1] for plant in PLANTS for seed in range(3)]
    plan = [float(plant.fixed()[1]) for plant in PLANTS]
    assert sum(value > 1 for value in plan) >= 4
    assert max(lost) < 1.0


def test_a_simulated_run_learns_much_of_what_the_best_fixed_factors_learn():
    best = np.array([plant.best_fixed() for plant in PLANTS])
    steered = np.array([np.mean([plant.steered(seed=seed)[0] for seed in range(3)]) for plant in PLANTS])
    plan = np.array([plant.fixed() for plant in PLANTS])
    assert (steered / best).mean() > 0.8
    assert (steered / best).min() > 0.5
    slack = plan[:, 1] < 0.3
    assert slack.any()
    assert (steered[slack] >= plan[slack, 0]).all(), "what the budget leaves free is used"


def test_signals_between_looks_let_a_simulated_run_learn_more():
    with_, without = (
        np.mean([plant.steered(seed=seed, signals=signals)[0] for plant in PLANTS for seed in range(3)])
        for signals in (True, False)
    )
    assert with_ > without


@settings(max_examples=15, deadline=None)
@given(st.floats(4, 30), st.floats(3, 10), st.floats(2, 8), st.sampled_from((5, 15)))
def test_a_simulated_run_settles_without_noise(overwrites, repairs, learns, every):
    plant = Plant(learns, overwrites, repairs, steps=150, every=every, noise=0.0, wander=0.0)
    _, lost, course = plant.steered()
    assert lost < 1.0
    late = [state.pressure for step, _, state in course if 0.4 < step / plant.steps < 0.8]
    turns = [b - a for a, b in itertools.pairwise(late) if abs(b - a) > 0.05]
    assert sum(a * b < 0 for a, b in itertools.pairwise(turns)) <= 4, "no lasting oscillation"
    assert max(value for _, value, _ in course) < 2.5, "the first look stands at a tenth of the run"
