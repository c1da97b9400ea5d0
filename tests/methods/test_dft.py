"""Each token in proportion to how likely it is held."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from holdfast.core.tokens import Tokens
from holdfast.methods.tokens.asft import ASFT
from holdfast.methods.tokens.dft import DFT, dft


def tokens_of(logits, labels, base=None):
    zeros = torch.zeros(len(labels), dtype=torch.int64)
    return Tokens(logits, torch.tensor(labels), zeros, zeros, base_logits_NV=base)


def random(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))


def test_the_weight_is_the_probability_in_numpy():
    logits, labels = random(20, 7), [i % 7 for i in range(20)]
    p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
    np.testing.assert_allclose(DFT().weigh_tokens({}, tokens_of(logits, labels)), p[np.arange(20), labels], rtol=1e-12)


def test_the_gradient_is_that_of_minus_the_probability():
    """What makes DFT what it is: no gradient through the weight, so that d(sg[p] * -log p) = -dp."""
    labels = [1, 4, 0]
    for_loss, for_p = (random(3, 5).requires_grad_() for _ in range(2))
    tok = tokens_of(for_loss, labels)
    (DFT().weigh_tokens({}, tok) * tok.nll_N).sum().backward()
    (-for_p.softmax(-1)[range(3), labels]).sum().backward()
    torch.testing.assert_close(for_loss.grad, for_p.grad, rtol=1e-12, atol=1e-14)


def test_what_is_certain_counts_in_full_and_what_is_impossible_not_at_all():
    assert dft(torch.tensor([0.0, 800.0, torch.inf])).tolist() == [1.0, 0.0, 0.0]


def test_it_is_the_loss_of_trl():
    """As in trl.trainer.sft_trainer.dft_loss: -p log p, without gradient through p, per token."""
    trl = pytest.importorskip("trl.trainer.sft_trainer")
    if not hasattr(trl, "dft_loss"):
        pytest.skip("this trl has no dft_loss")
    logits, labels = random(1, 6, 9).float(), torch.tensor([[3, 1, 4, 1, 5, 2]])
    outputs = type("Output", (), {"logits": logits})()
    theirs = trl.dft_loss(outputs, labels, num_items_in_batch=torch.tensor(5))
    tok = tokens_of(logits[0, :-1], labels[0, 1:].tolist())
    ours = (DFT().weigh_tokens({}, tok) * tok.nll_N).sum() / 5
    torch.testing.assert_close(ours, theirs.to(ours.dtype))


def test_asft_is_dft_with_an_anchor():
    logits, base, labels = random(12, 5), random(12, 5, seed=1), [i % 5 for i in range(12)]
    tok = tokens_of(logits, labels, base)
    torch.testing.assert_close(ASFT().weigh_tokens({}, tok), DFT().weigh_tokens({}, tok))
    p, q = (np.exp(x.numpy()) / np.exp(x.numpy()).sum(1, keepdims=True) for x in (logits, base))
    for direction, wanted in (("forward", (q * np.log(q / p)).sum(1)), ("reverse", (p * np.log(p / q)).sum(1))):
        found = ASFT(anchor=0.3, direction=direction).token_loss({}, tok)
        np.testing.assert_allclose(found, 0.3 * wanted, rtol=1e-10)
    assert not ASFT(anchor=0.0).off, "without an anchor it is DFT, not plain training"
    assert float(ASFT(anchor=0.0).token_loss({}, tok).abs().sum()) == 0.0
