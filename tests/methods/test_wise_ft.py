"""A point between base and tuned weights."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.methods.edits.task_vector import TaskVector, task_vector
from holdfast.methods.edits.wise_ft import WiSEFT, wise_ft
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import trainer_for

START = tiny.tiny()


def run(folder, recipe):
    trainer = trainer_for(copy.deepcopy(START), folder, tiny.rows(16))
    if recipe is not None:
        attach(trainer, recipe)
    trainer.train()
    return dict(trainer.model.named_parameters())


def test_values_worked_by_hand():
    base, tuned = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 2.0])
    assert wise_ft(base, tuned, 0.25).tolist() == [1.5, -1.0]
    assert task_vector(base, tuned, 1.5).tolist() == [4.0, 4.0]
    assert task_vector(base, tuned, -1.0).tolist() == [-1.0, -6.0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_ends_are_the_models_to_the_bit_and_the_dtype_stays(dtype):
    base, tuned = torch.randn(50, generator=torch.Generator().manual_seed(0)).to(dtype), torch.ones(50, dtype=dtype)
    assert torch.equal(wise_ft(base, tuned, 0.0), base)
    assert torch.equal(wise_ft(base, tuned, 1.0), tuned)
    assert wise_ft(base, tuned, 0.3).dtype == task_vector(base, tuned, 0.3).dtype == dtype


@given(st.floats(0, 1), st.floats(-10, 10), st.floats(-10, 10))
def test_it_is_the_task_vector_scaled(alpha, base, tuned):
    one, other = torch.tensor([base], dtype=torch.float64), torch.tensor([tuned], dtype=torch.float64)
    assert float(wise_ft(one, other, alpha)) == pytest.approx(base + alpha * (tuned - base), abs=1e-12)


@pytest.mark.parametrize("method", [WiSEFT(alpha=0.3), TaskVector(scale=0.3)])
def test_a_run_ships_the_point_on_its_own_line(tmp_path, method):
    plain, shipped = run(tmp_path, None), run(tmp_path, method)
    for name, base in START.named_parameters():
        torch.testing.assert_close(shipped[name], base + 0.3 * (plain[name] - base), rtol=1e-12, atol=1e-14)


def test_at_one_nothing_is_edited():
    assert WiSEFT(alpha=1.0).off
    assert TaskVector(scale=1.0).off
    assert not WiSEFT(alpha=0.0).off
