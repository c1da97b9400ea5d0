"""The squared distance of the logits from those of the base."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from holdfast.core.tokens import Tokens
from holdfast.methods.losses.base_mse import BaseMSE, base_mse, base_mse_units


def draw(*shape, seed=0):
    return 2.0 * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_it_is_the_mean_of_the_squares_that_numpy_computes():
    logits, base = draw(9, 7), draw(9, 7, seed=1)
    wanted = np.mean((logits.numpy() - base.numpy()) ** 2, axis=-1)
    np.testing.assert_allclose(base_mse_units(logits, base).numpy(), wanted, rtol=1e-14)
    assert base_mse_units(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 1.0]])).item() == pytest.approx(2.5)


def test_a_constant_on_all_logits_counts():
    logits = draw(5, 4)
    torch.testing.assert_close(base_mse_units(logits + 3.0, logits), torch.full((5,), 9.0, dtype=torch.float64))


def test_gradients_agree_with_finite_differences_and_none_reaches_the_base():
    base, labels = draw(2, 4, 6, seed=1).requires_grad_(), torch.tensor([[1, 2, -100, 3], [-100, 4, 5, 0]])
    logits = draw(2, 4, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: base_mse(z, base, labels), logits)
    base_mse(logits, base, labels).sum().backward()
    assert base.grad is None


def test_positions_are_those_of_the_labels():
    logits, base, labels = draw(1, 4, 5), draw(1, 4, 5, seed=1), torch.tensor([[-100, 2, -100, 4]])
    nats = base_mse(logits, base, labels)[0]
    units = base_mse_units(logits[0], base[0])
    torch.testing.assert_close(nats, torch.stack([units[0], units.new_zeros(()), units[2], units.new_zeros(())]))


def test_infinite_logits_are_left_out_of_the_mean_and_of_the_gradient():
    logits, base = draw(3, 5), draw(3, 5, seed=1)
    logits[0, 1] = base[0, 1] = -math.inf
    logits[1, 2] = -math.inf
    base[2] = -math.inf
    logits.requires_grad_()
    units = base_mse_units(logits, base)
    gap = (logits - base).detach()
    assert units[0].item() == pytest.approx(gap[0][[0, 2, 3, 4]].square().mean().item())
    assert units[1].item() == pytest.approx(gap[1][[0, 1, 3, 4]].square().mean().item())
    assert units[2].item() == 0.0
    units.sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_the_strength_scales_the_term_of_the_tokens():
    logits, base = draw(4, 6), draw(4, 6, seed=1)
    tok = Tokens(logits, torch.zeros(4, dtype=torch.int64), torch.zeros(4), torch.zeros(4), base_logits_NV=base)
    torch.testing.assert_close(BaseMSE(strength=0.25).token_loss({}, tok), 0.25 * base_mse_units(logits, base))
    assert BaseMSE(strength=0.0).off
