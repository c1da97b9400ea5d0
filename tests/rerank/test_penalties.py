"""Penalties in the space of scores, against other computations of the same numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.methods.losses.base_kl import BaseKL
from holdfast.methods.losses.base_mse import BaseMSE
from holdfast.methods.losses.mask_the_target import MaskTheTarget
from holdfast.rerank.penalties import list_kl, order_kl, pair_kl, score_mse
from holdfast.rerank.units import Rows, units_of

INF = math.inf


def draw(*shape, seed=0, scale=3.0):
    return scale * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_the_divergence_over_a_list_is_scipys(direction):
    scores, base = draw(12, 5), draw(12, 5, seed=1)
    for z, b, nats in zip(scores.numpy(), base.numpy(), list_kl(scores, base, direction), strict=True):
        p, q = (softmax(b), softmax(z)) if direction == "forward" else (softmax(z), softmax(b))
        assert nats.item() == pytest.approx(scipy.stats.entropy(p, q), rel=1e-10)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_the_divergence_of_a_pair_is_that_of_two_coins(direction):
    scores, base = draw(20), draw(20, seed=1)
    p, q = base.sigmoid(), scores.sigmoid()
    if direction == "reverse":
        p, q = q, p
    wanted = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    torch.testing.assert_close(pair_kl(scores, base, direction), wanted, rtol=1e-9, atol=1e-12)


def test_the_order_among_the_others_leaves_every_relevant_document_out():
    scores, base = draw(4, 6), draw(4, 6, seed=1)
    relevant = torch.zeros(4, 6, dtype=torch.bool)
    relevant[0, 2] = relevant[1, 0] = relevant[1, 5] = relevant[2, :5] = True  # one, two, all but one, none
    nats = order_kl(scores, base, relevant)
    for row in range(4):
        z, b = scores[row][~relevant[row]].numpy(), base[row][~relevant[row]].numpy()
        assert nats[row].item() == pytest.approx(scipy.stats.entropy(softmax(b), softmax(z)), rel=1e-10, abs=1e-14)
    assert nats[2] == 0.0


def test_a_certain_base_still_has_an_order_among_the_others():
    base, scores = torch.tensor([[40.0, 1.0, -1.0]]), torch.tensor([[40.0, -1.0, 1.0]])
    relevant = torch.tensor([[True, False, False]])
    assert order_kl(scores, base, relevant).item() > 0.5


def test_documents_that_a_shorter_list_does_not_have_change_nothing():
    scores, base = draw(1, 3), draw(1, 3, seed=1)
    filled = [torch.nn.functional.pad(z, (0, 2), value=-INF).requires_grad_() for z in (scores, base)]
    relevant = torch.tensor([[False, True, False]])
    wider = torch.nn.functional.pad(relevant, (0, 2))
    for function, parts, whole in (
        (list_kl, (), ()),
        (score_mse, (), ()),
        (order_kl, (relevant,), (wider,)),
    ):
        nats = function(*filled, *whole)
        torch.testing.assert_close(nats, function(scores, base, *parts))
        (gradient,) = torch.autograd.grad(nats.sum(), filled[0])
        assert torch.isfinite(gradient).all()
        assert (gradient[:, 3:] == 0).all()


def test_gradients_agree_with_finite_differences():
    scores, base = draw(3, 4).requires_grad_(), draw(3, 4, seed=1)
    relevant = torch.tensor([[True, False, False, False], [True, False, True, False], [False] * 4])
    for function in (list_kl, score_mse, lambda a, b: order_kl(a, b, relevant)):
        assert torch.autograd.gradcheck(lambda z, f=function: f(z, base), scores)
    single = draw(6).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: pair_kl(z, draw(6, seed=1)), single)


def test_no_gradient_reaches_the_relevant_documents_or_the_base():
    scores, base = draw(2, 4).requires_grad_(), draw(2, 4, seed=1).requires_grad_()
    relevant = torch.tensor([[True, False, False, False], [False, True, True, False]])
    order_kl(scores, base, relevant).sum().backward()
    assert base.grad is None
    assert (scores.grad[relevant] == 0).all()
    assert (scores.grad[0, 1:] != 0).all()


numbers = st.floats(-20, 20, allow_nan=False, width=64)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(numbers, numbers, st.booleans()), min_size=1, max_size=7), numbers, numbers)
def test_a_shift_of_a_query_changes_only_the_squares(rows, up, down):
    scores, base = (torch.tensor([[row[i] for row in rows]], dtype=torch.float64) for i in (0, 1))
    relevant = torch.tensor([[row[2] for row in rows]])
    for function in (list_kl, lambda a, b: order_kl(a, b, relevant)):
        nats = function(scores, base)
        assert nats.item() >= -1e-12
        torch.testing.assert_close(function(scores + up, base + down), nats, rtol=1e-6, atol=1e-9)
        assert function(base + up, base).item() == pytest.approx(0.0, abs=1e-9)
    gap = (scores + up - base).square().mean()
    torch.testing.assert_close(score_mse(scores + up, base)[0], gap)


def test_methods_compute_these_functions_on_the_units_of_a_batch():
    lists = Rows(
        "lists", ((("q", "a"), ("q", "b"), ("q", "c")), (("r", "d"), ("r", "e"))), ((False, True, False), (True, False))
    )
    scores, base = [draw(3), draw(2, seed=2)], [draw(3, seed=1), draw(2, seed=3)]
    tok = units_of(lists, scores, base, None)
    z, b = (torch.stack([side[0], torch.nn.functional.pad(side[1], (0, 1), value=-INF)]) for side in (scores, base))
    relevant = torch.tensor([[False, True, False], [True, False, False]])
    torch.testing.assert_close(BaseKL(strength=2.0).token_loss({}, tok), 2.0 * list_kl(z, b))
    torch.testing.assert_close(BaseMSE(strength=2.0).token_loss({}, tok), 2.0 * score_mse(z, b))
    torch.testing.assert_close(MaskTheTarget(strength=2.0).token_loss({}, tok), 2.0 * order_kl(z, b, relevant))
    torch.testing.assert_close(tok.nll_N, torch.nn.functional.cross_entropy(z, torch.tensor([1, 0]), reduction="none"))

    pairs = Rows("pairs", ((("q", "a"),), (("q", "b"),)), ((True,), (False,)))
    scores, base = [draw(1), draw(1, seed=2)], [draw(1, seed=1), draw(1, seed=3)]
    tok = units_of(pairs, scores, base, torch.tensor([0, 1]))
    z, b = torch.cat(scores), torch.cat(base)
    torch.testing.assert_close(BaseKL().token_loss({}, tok), pair_kl(z, b))
    torch.testing.assert_close(BaseMSE(strength=1.0).token_loss({}, tok), (z - b).square())
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(
        z, torch.tensor([1.0, 0.0]).double(), reduction="none"
    )
    torch.testing.assert_close(tok.nll_N, wanted)
    torch.testing.assert_close(tok.only("memory").nll_N, wanted[1:])


def test_a_query_without_a_relevant_document_keeps_the_order_of_all_of_them():
    rows = Rows("lists", ((("q", "a"), ("q", "b"), ("q", "c")),), ((False, False, False),))
    scores, base = [draw(3)], [draw(3, seed=1)]
    nats = MaskTheTarget().token_loss({}, units_of(rows, scores, base, None))
    torch.testing.assert_close(nats, list_kl(scores[0][None], base[0][None]))
