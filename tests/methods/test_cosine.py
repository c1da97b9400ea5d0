"""The learning rate that falls along half a cosine."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import transformers

from holdfast.core.run import Step
from holdfast.methods.schedules.cosine import Cosine, cosine


@pytest.mark.parametrize("total", [1, 2, 7, 100])
def test_it_is_the_schedule_of_transformers_without_warm_up(total):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = transformers.get_cosine_schedule_with_warmup(optimizer, 0, total)
    for index in range(total):
        factor = Cosine().scale_lr({}, Step(index, total, {}, {}, None))
        assert factor == pytest.approx(schedule.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("floor", [0.0, 0.1, 1.0])
def test_values_worked_by_hand(floor):
    assert cosine(0.0, floor) == 1.0
    assert cosine(0.5, floor) == pytest.approx((1 + floor) / 2)
    assert cosine(1 / 3, floor) == pytest.approx(floor + (1 - floor) * 0.75)
    assert cosine(1.0, floor) == pytest.approx(floor, abs=1e-15)


def test_beyond_the_ends_it_stays_at_its_ends():
    assert cosine(-0.5) == 1.0
    assert cosine(1.5, 0.2) == pytest.approx(0.2)


def test_it_only_falls_and_is_even_about_its_middle():
    values = [cosine(k / 50, 0.1) for k in range(51)]
    assert all(a > b for a, b in itertools.pairwise(values))
    assert [a + b for a, b in zip(values, reversed(values), strict=True)] == pytest.approx([1.1] * 51)


def test_its_mean_over_a_run_is_half_way_to_the_floor():
    total = 1000
    mean = math.fsum(cosine((k + 0.5) / total, 0.2) for k in range(total)) / total
    assert mean == pytest.approx(0.6)
