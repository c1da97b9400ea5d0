"""Losses of next-token distributions against loops over the tokens that can come, and their gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.softmax import entropy, forward_kl, nll, reverse_kl
from holdfast.core.tokens import Tokens

OUT = -math.inf


def draw(rows, words, seed, dtype=torch.float64):
    return 3.0 * torch.randn(rows, words, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def looped(kind, tuned, base, label):
    """One token, token by token, over those that can come: sums of p log(p / q) as they are defined."""
    words = [c for c in range(len(tuned)) if not (kind == "non target" and c == label)]

    def share(of):
        weights = {c: math.exp(of[c]) for c in words if of[c] > OUT}
        return {c: w / sum(weights.values()) for c, w in weights.items()}

    p, q = share(tuned), share(base)
    if kind == "nll":
        return -math.log(p[label])
    if kind == "entropy":
        return -sum(w * math.log(w) for w in p.values())
    one, other = (p, q) if kind == "reverse" else (q, p)
    return sum(w * math.log(w / other[c]) if c in other else math.inf for c, w in one.items())


def found(kind, tuned, base, labels):
    if kind == "nll":
        return nll(tuned, labels)
    if kind == "entropy":
        return entropy(tuned)
    if kind == "reverse":
        return reverse_kl(tuned, base)
    return forward_kl(tuned, base, labels if kind == "non target" else None)


KINDS = ("nll", "entropy", "forward", "reverse", "non target")


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), out=st.sets(st.integers(0, 8), max_size=6))
def test_tokens_that_cannot_come_count_for_nothing_and_get_no_gradient(kind, seed, out):
    out, inside = sorted(out), [c for c in range(10) if c not in out]
    tuned, base = draw(4, 10, seed), draw(4, 10, seed + 1)
    tuned[:, out] = base[:, out] = OUT
    labels = torch.tensor(inside)[torch.arange(4) % len(inside)]
    own = tuned.clone().requires_grad_()
    values = found(kind, own, base, labels)
    expected = [
        looped(kind, tuned[n].tolist(), base[n].tolist(), int(labels[n]))
        if len(inside) > 1 or kind != "non target"
        else 0
        for n in range(4)
    ]
    assert values.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    # The gradient is that of the same distributions over a vocabulary without those tokens.
    few = tuned[:, inside].clone().requires_grad_()
    scales = torch.tensor([1.0, -0.5, 0.0, 2.0], dtype=torch.float64)
    (found(kind, few, base[:, inside], torch.tensor([inside.index(int(y)) for y in labels])) * scales).sum().backward()
    (values * scales).sum().backward()
    assert not own.grad[:, out].any()
    torch.testing.assert_close(own.grad[:, inside], few.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_agree_with_finite_differences(kind):
    labels = torch.tensor([1, 0, 4])
    assert torch.autograd.gradcheck(lambda own: found(kind, own, draw(3, 6, 1), labels), draw(3, 6, 0).requires_grad_())


@pytest.mark.parametrize("kind", ["forward", "reverse", "non target"])
@pytest.mark.parametrize("side", ["tuned", "base"])
def test_a_token_that_one_side_alone_can_say_gives_the_limit_and_a_finite_gradient(kind, side):
    tuned, base = draw(2, 6, 3), draw(2, 6, 4)
    (tuned if side == "tuned" else base)[0, 2] = OUT
    own = tuned.requires_grad_()
    values = found(kind, own, base, torch.tensor([1, 1]))
    expected = [looped(kind, tuned[n].tolist(), base[n].tolist(), 1) for n in range(2)]
    assert values.tolist() == pytest.approx(expected, rel=1e-9)
    assert bool(values[0].isinf()) == (side == ("base" if kind == "reverse" else "tuned"))
    values.sum().backward()
    assert bool(own.grad.isfinite().all())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_token_that_does_not_count_gets_no_gradient_whatever_its_logits_are(kind, bad):
    tuned, base = draw(3, 6, 3), draw(3, 6, 4)
    tuned[1, 2] = bad
    own = tuned.requires_grad_()
    values = found(kind, own, base, torch.tensor([1, 1, 1]))
    assert not bool(values[1].isfinite()), "what is no number is not hidden"
    torch.where(torch.tensor([True, False, True]), values, 0.0).sum().backward()
    assert bool(own.grad.isfinite().all())
    assert not own.grad[1].any()
    assert own.grad[0].any()


def test_where_the_base_is_certain_or_nothing_else_can_be_said_there_is_nothing_to_compare():
    tuned, base = draw(3, 4, 3), draw(3, 4, 4)
    base[0, 1] = 40.0
    tuned[1, [0, 2, 3]] = base[1, [0, 2, 3]] = OUT
    own = tuned.requires_grad_()
    values = forward_kl(own, base, torch.tensor([1, 1, 1]), 1e-4)
    assert values[:2].tolist() == [0.0, 0.0]
    assert values[2] > 0.0
    values.sum().backward()
    assert not own.grad[:2].any()
    assert bool(own.grad.isfinite().all())


def test_in_float32_the_divergence_of_near_twins_is_not_lost_in_rounding():
    base = draw(5, 1000, 1).float()
    tuned = base + 1e-3 * draw(5, 1000, 2).float()
    for kind in ("forward", "reverse", "non target"):
        exact = found(kind, tuned.double(), base.double(), torch.arange(5))
        torch.testing.assert_close(found(kind, tuned, base, torch.arange(5)).double(), exact, rtol=0.1, atol=3e-7)


def test_the_loss_of_a_label_is_the_one_that_torch_computes_to_the_bit():
    logits = draw(7, 50, 1).float()
    own, other = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    labels = torch.arange(7)
    ours, theirs = nll(own, labels), torch.nn.functional.cross_entropy(other, labels, reduction="none")
    assert torch.equal(ours, theirs)
    ours.sum().backward()
    theirs.sum().backward()
    torch.testing.assert_close(own.grad, other.grad, rtol=1e-6, atol=1e-7)


def parted_kl(kind, tuned, base, labels):
    """The task loss or a divergence from the two numbers of each row, as `Tokens` makes them."""
    tok = Tokens(tuned, labels, labels, labels, base_logits_NV=base)
    value: torch.Tensor = getattr(tok, {"nll": "nll_N", "forward": "base_kl_N", "non target": "base_rest_kl_N"}[kind])
    return value


PARTED = ("nll", "forward", "non target")


@pytest.mark.parametrize("kind", PARTED)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), out=st.sets(st.integers(0, 8), max_size=6))
def test_from_two_numbers_of_a_row_losses_and_gradients_are_the_same(kind, seed, out):
    out, inside = sorted(out), [c for c in range(10) if c not in out]
    tuned, base = draw(4, 10, seed), draw(4, 10, seed + 1)
    tuned[:, out] = base[:, out] = OUT
    labels = torch.tensor(inside)[torch.arange(4) % len(inside)]
    scales = torch.tensor([1.0, -0.5, 0.0, 2.0], dtype=torch.float64)
    results = []
    for function in (found, parted_kl):
        own = tuned.clone().requires_grad_()
        values = function(kind, own, base, labels)
        (values * scales).sum().backward()
        results.append((values.detach(), own.grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", PARTED)
def test_their_gradients_agree_with_finite_differences(kind):
    labels = torch.tensor([1, 0, 4])
    assert torch.autograd.gradcheck(
        lambda own: parted_kl(kind, own, draw(3, 6, 1), labels), draw(3, 6, 0).requires_grad_()
    )


@pytest.mark.parametrize("kind", PARTED)
@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("sure", [20.0, 60.0, 200.0])
def test_in_float32_a_sure_label_and_a_hopeless_one_lose_nothing(kind, label, sure):
    tuned, base = draw(5, 9, 3, torch.float32), draw(5, 9, 4, torch.float32)
    tuned[:, 0] += sure
    base[:, 0] += sure
    labels = torch.full((5,), label)
    own, wide = tuned.clone().requires_grad_(), tuned.double().requires_grad_()
    values, expected = parted_kl(kind, own, base, labels), found(kind, wide, base.double(), labels)
    least = 1e-15 if kind == "nll" and not label else 5e-5  # of logits of 200
    torch.testing.assert_close(values.double(), expected, rtol=1e-5, atol=least)
    values.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(own.grad.double(), wide.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["forward", "non target"])
@pytest.mark.parametrize("side", ["tuned", "base"])
@pytest.mark.parametrize("word", [1, 2])
def test_from_two_numbers_too_a_token_of_one_side_alone_gives_the_limit(kind, side, word):
    tuned, base = draw(2, 6, 3), draw(2, 6, 4)
    (tuned if side == "tuned" else base)[0, word] = OUT
    own = tuned.requires_grad_()
    values = parted_kl(kind, own, base, torch.tensor([1, 1]))
    expected = [looped(kind, tuned[n].tolist(), base[n].tolist(), 1) for n in range(2)]
    assert values.tolist() == pytest.approx(expected, rel=1e-9)
    values.sum().backward()
    assert bool(own.grad.isfinite().all())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_row_that_does_not_count_gets_no_gradient_from_two_numbers_either(bad):
    for kind in PARTED:
        tuned, base = draw(3, 6, 3), draw(3, 6, 4)
        for word in (1, 2):
            own = tuned.clone()
            own[1, word] = bad
            own.requires_grad_()
            values = parted_kl(kind, own, base, torch.tensor([1, 1, 1]))
            assert not bool(values[1].isfinite()) or (kind, word) == ("non target", 1), (
                "what is no number is not hidden"
            )
            torch.where(torch.tensor([True, False, True]), values, 0.0).sum().backward()
            assert bool(own.grad.isfinite().all())
            assert not own.grad[1].any()
