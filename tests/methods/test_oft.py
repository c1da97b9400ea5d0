"""The adapter that OFT puts on a model."""

from __future__ import annotations

import math

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.adapters import adapted
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Mix
from holdfast.core.params import trainable
from holdfast.core.run import Run
from holdfast.methods.selection.oft import OFT, cayley
from tests.tiny import rows, tiny
from tests.train.retrace import trainer_for


def shaped(method, backbone="llama"):
    return method.shape_model(Run(tiny(backbone), Mix(()), 0, 0))


@given(st.floats(-5.0, 5.0))
def test_of_two_inputs_it_is_a_turn_by_twice_the_angle(entry):
    angle = 2 * math.atan(entry)
    expected = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    found = cayley(torch.tensor([[entry]], dtype=torch.float64), 2)[0]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


@given(st.integers(0, 1000), st.integers(2, 7), st.floats(0.01, 30.0))
def test_it_is_a_rotation_however_large_the_entries(seed, size, scale):
    generator = torch.Generator().manual_seed(seed)
    entries = scale * torch.randn(3, size * (size - 1) // 2, dtype=torch.float64, generator=generator)
    turn = cayley(entries, size)
    one = torch.eye(size, dtype=torch.float64).expand_as(turn)
    torch.testing.assert_close(turn @ turn.transpose(1, 2), one, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(3, dtype=torch.float64))


def test_its_gradient_is_right():
    entries = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: cayley(x, 3), (entries,))


def test_the_weight_is_the_formula_block_by_block():
    model = shaped(OFT(block=4))
    with torch.no_grad():
        for p in trainable(model).values():
            p.add_(torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(p.numel())))
    for one in adapted(model):
        turns = cayley(one.layers[0].oft_R["default"].weight.detach(), 4)
        expected = one.param.detach() @ torch.block_diag(*turns).T
        torch.testing.assert_close(one.tuned(), expected)
        assert not torch.allclose(one.tuned(), one.param)


def test_training_keeps_the_singular_values_and_the_angles_of_every_weight(tmp_path):
    trainer = trainer_for(tiny(), tmp_path, rows(24), optim="adamw_torch", learning_rate=0.1, num_train_epochs=4)
    trainer.model = trainer.model_wrapped = shaped(OFT(block=4))
    trainer.train()
    for one in adapted(trainer.model):
        before, after = one.param.detach(), one.tuned()
        assert float((after - before).norm() / before.norm()) > 0.2
        torch.testing.assert_close(after @ after.T, before @ before.T, rtol=0, atol=1e-12)
        numpy.testing.assert_allclose(torch.linalg.svdvals(after), torch.linalg.svdvals(before), rtol=1e-12)


@pytest.mark.parametrize(("block", "sizes"), [(4, {4}), (32, {16, 24})])
def test_the_block_is_the_one_that_is_asked_for_or_the_nearest_that_fits(block, sizes):
    found = {one.layers[0].oft_R["default"].block_size for one in adapted(shaped(OFT(block=block)))}
    assert found == sizes


def test_a_conv1d_is_refused_with_what_to_take_instead():
    with pytest.raises(HoldfastError, match=r"its linear layers \(Conv1D and Linear\) are .*, or take LoRA\(\)"):
        shaped(OFT(), "gpt2")
