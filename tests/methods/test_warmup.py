"""The learning rate that rises at the start."""

from __future__ import annotations

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.method import chain
from holdfast.core.run import Step
from holdfast.methods.schedules.cosine import Cosine, cosine
from holdfast.methods.schedules.warmup import Warmup, warmup


def test_values_worked_by_hand():
    assert [warmup(s, 20, 0.2) for s in range(6)] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])
    assert [warmup(s, 5, 0.5) for s in range(4)] == pytest.approx([0.4, 0.8, 1.0, 1.0])


@pytest.mark.parametrize(("total", "ratio"), [(20, 0.5), (100, 0.03), (8, 1.0)])
def test_it_is_the_ramp_of_transformers_one_step_ahead(total, ratio):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = transformers.get_constant_schedule_with_warmup(optimizer, round(ratio * total))
    for index in range(total - 1):
        optimizer.step()
        schedule.step()
        factor = Warmup(ratio=ratio).scale_lr({}, Step(index, total, {}, {}, None))
        assert factor == pytest.approx(schedule.get_last_lr()[0], abs=1e-12)


@given(st.integers(0, 500), st.integers(1, 500), st.floats(0, 1))
def test_it_is_above_zero_never_falls_and_ends_at_one(index, total, ratio):
    now, later = warmup(index, total, ratio), warmup(index + 1, total, ratio)
    assert 0.0 < now <= later <= 1.0
    assert warmup(total, total, ratio) == 1.0


def test_a_ramp_shorter_than_a_step_is_none():
    assert warmup(0, 10, 0.05) == 1.0
    assert warmup(0, 10, 0.0) == 1.0
    assert Warmup(ratio=0.0).off
    assert not Warmup().off


def test_beside_a_cosine_the_two_multiply():
    both = chain(Warmup(ratio=0.5), Cosine())
    for index in range(10):
        expected = warmup(index, 10, 0.5) * cosine(index / 10)
        assert both.scale_lr({}, Step(index, 10, {}, {}, None)) == pytest.approx(expected)
