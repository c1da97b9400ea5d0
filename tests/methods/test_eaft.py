"""Each token in proportion to how open the prediction is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from holdfast.methods.tokens.eaft import EAFT, eaft
from tests.methods.test_dft import random, tokens_of


@pytest.mark.parametrize("top", [1, 3, 20, 0, 500])
@pytest.mark.parametrize(("scale", "power"), [("ln K", 1.0), ("3", 1.0), ("ln K", 2.5)])
def test_it_is_the_entropy_of_the_likeliest_tokens_in_numpy(top, scale, power):
    logits = random(30, 40) * 3
    kept = 40 if top in (0, 500) else top
    p = np.sort(np.exp(logits.numpy()), axis=1)[:, ::-1][:, :kept]
    entropy = stats.entropy(p / p.sum(1, keepdims=True), axis=1)
    divisor = 3.0 if scale == "3" else math.log(max(kept, 2))
    np.testing.assert_allclose(eaft(logits, top, scale, power), (entropy / divisor) ** power, rtol=1e-10, atol=1e-12)


def test_values_worked_by_hand():
    even, sure = torch.zeros(1, 20).double(), torch.tensor([[200.0] + [0.0] * 19]).double()
    half = torch.tensor([[0.0, 0.0] + [-1e9] * 18]).double()
    assert float(eaft(even)) == pytest.approx(1.0)
    assert float(eaft(even, scale="3")) == pytest.approx(math.log(20) / 3)
    assert float(eaft(sure)) == pytest.approx(0.0, abs=1e-12)
    assert float(eaft(half)) == pytest.approx(math.log(2) / math.log(20))
    assert float(eaft(sure, power=0.0)) == 1.0


def test_tokens_of_probability_zero_add_nothing():
    masked = torch.tensor([[0.0, 0.0, -math.inf, -math.inf]]).double()
    assert float(eaft(masked, top=0)) == pytest.approx(math.log(2) / math.log(4))


@given(st.integers(0, 10_000), st.floats(-5, 5))
def test_it_lies_between_zero_and_one_and_a_shift_of_the_logits_changes_nothing(seed, shift):
    logits = random(4, 25, seed=seed)
    found = eaft(logits)
    assert bool(((found >= 0) & (found <= 1 + 1e-12)).all())
    torch.testing.assert_close(found, eaft(logits + shift))


def test_no_gradient_flows_through_the_weight():
    logits = random(3, 25).requires_grad_()
    assert not EAFT().weigh_tokens({}, tokens_of(logits, [0, 1, 2])).requires_grad
