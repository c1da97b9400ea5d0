"""The learning rate that follows the loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.run import Step
from holdfast.methods.schedules.finch import Finch, finch


def factors(method, losses):
    """The factors of a run whose steps have these losses."""
    state = method.init_state(None)
    total = len(losses)
    return [method.scale_lr(state, Step(i, total, {"nll_N": loss}, {}, None)) for i, loss in enumerate(losses)]


def replay(losses, decay, cap):
    """The rule of the paper, eta_s = min(eta_base / sqrt(Lbar_s), eta_max), in numpy; no loss, no change."""
    mean, found = None, []
    for loss in np.asarray(losses, dtype=np.float64):
        if np.isfinite(loss):
            mean = loss if mean is None else decay * mean + (1 - decay) * loss
        found.append(1.0 if mean is None else min(1 / np.sqrt(mean), cap))
    return found


@pytest.mark.parametrize(
    ("loss", "rate"),
    [(4.0, 1.0e-5), (2.0, 1.41e-5), (1.0, 2e-5), (0.5, 2.83e-5), (0.25, 4e-5), (0.16, 5e-5), (0.01, 5e-5)],
)
def test_the_rates_worked_out_for_a_base_of_2e_minus_5_and_a_largest_of_5e_minus_5(loss, rate):
    assert 2e-5 * finch(loss, cap=2.5) == pytest.approx(rate, rel=3e-3)


def test_the_cap_binds_from_one_over_its_square():
    assert finch(1 / 2.5**2 + 1e-6) < 2.5
    assert finch(1 / 2.5**2 - 1e-6) == 2.5
    assert finch(0.0) == finch(-1.0) == 2.5
    assert finch(0.0, cap=1e9) == pytest.approx(1e6)


@given(st.floats(1e-6, 50), st.floats(1e-6, 50), st.floats(0.1, 10))
def test_a_higher_loss_never_gives_a_higher_rate(one, other, cap):
    low, high = sorted((one, other))
    assert finch(high, cap) <= finch(low, cap) <= cap


def test_the_bound_on_forgetting_stays_the_same_below_the_cap():
    # One step's bound grows with eta * sqrt(L), which the rule makes constant.
    assert [finch(loss, cap=100.0) * math.sqrt(loss) for loss in (0.1, 1.0, 7.0)] == pytest.approx([1.0] * 3)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("cap", [0.7, 2.5])
def test_a_run_is_the_rule_replayed(decay, cap):
    losses = [math.nan, 3.0, 2.5, math.nan, 2.0, 0.5, math.inf, 0.05, 0.01, 0.01, 4.0, math.nan]
    found = factors(Finch(decay=decay, cap=cap), losses)
    assert found == pytest.approx(replay(losses, decay, cap), rel=1e-14)
    assert found[0] == 1.0


def test_the_average_begins_at_the_first_loss():
    assert factors(Finch(decay=0.9), [4.0])[0] == pytest.approx(0.5)


def test_a_constant_loss_gives_a_constant_rate():
    assert factors(Finch(), [2.0] * 50) == pytest.approx([1 / math.sqrt(2)] * 50)


def test_the_average_is_kept_in_the_state_and_not_in_the_method():
    method = Finch()
    one, other = method.init_state(None), method.init_state(None)
    method.scale_lr(one, Step(0, 2, {"nll_N": 4.0}, {}, None))
    assert torch.isnan(other["mean_loss"])
    assert one["mean_loss"].item() == 4.0
    assert one["mean_loss"].dtype == torch.float64
