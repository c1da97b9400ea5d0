"""A rise, a plateau and a fall."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.optimization import get_wsd_schedule

from holdfast.core.errors import HoldfastError
from holdfast.methods.schedules.cosine import Cosine
from holdfast.methods.schedules.wsd import WSD, wsd


def curve(total=100, **settings):
    return [wsd(i, total, **settings) for i in range(total)]


def test_values_worked_by_hand():
    found = curve(warmup=0.1, cooldown=0.2, shape="linear")
    assert found[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert found[9:81] == [1.0] * 72
    assert [found[i] for i in (85, 90, 99)] == pytest.approx([0.75, 0.5, 0.05])
    root = curve(warmup=0.0, cooldown=0.25)
    assert [root[i] for i in (0, 75, 76, 84)] == pytest.approx([1.0, 1.0, 1 - math.sqrt(1 / 25), 1 - 3 / 5])


@pytest.mark.parametrize("shape", ["linear", "cosine", "1-sqrt"])
def test_the_plateau_and_the_fall_are_those_of_transformers(shape):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = get_wsd_schedule(
        optimizer, num_warmup_steps=0, num_decay_steps=20, num_stable_steps=80, decay_type=shape, min_lr_ratio=0.1
    )
    found = curve(warmup=0.0, cooldown=0.2, floor=0.1, shape=shape)
    for i in range(100):
        assert found[i] == pytest.approx(theirs.get_last_lr()[0], abs=1e-9), i
        optimizer.step()
        theirs.step()


@given(st.integers(1, 300), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 1))
def test_it_stays_between_nothing_and_one_and_never_rises_after_the_rise(total, warmup, cooldown, floor):
    found = curve(total, warmup=warmup, cooldown=cooldown, floor=floor)
    assert all(0 <= factor <= 1 for factor in found)
    top = found.index(max(found))
    assert all(a >= b - 1e-12 for a, b in zip(found[top:], found[top + 1 :], strict=False))


def test_without_rise_and_fall_the_rate_is_constant():
    assert set(curve(warmup=0.0, cooldown=0.0)) == {1.0}


def test_shares_longer_than_the_run_and_a_second_schedule_are_refused():
    with pytest.raises(HoldfastError, match="together they are longer than the run"):
        WSD(warmup=0.6, cooldown=0.6)
    with pytest.raises(HoldfastError, match="give one of the two"):
        WSD() + Cosine()
