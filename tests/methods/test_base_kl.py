"""The divergence between the model's next-token distribution and the base's, in both directions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.methods.losses.base_kl import BaseKL, base_kl, base_kl_units

BOTH = pytest.mark.parametrize("direction", ["forward", "reverse"])


def draw(*shape, seed=0, scale=2.0):
    return scale * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_values_worked_by_hand():
    base = torch.tensor([[0.5, 0.5]], dtype=torch.float64).log()
    tuned = torch.tensor([[0.25, 0.75]], dtype=torch.float64).log()
    # forward: 1/2 ln 2 + 1/2 ln 2/3; reverse: 1/4 ln 1/2 + 3/4 ln 3/2
    assert base_kl_units(tuned, base).item() == pytest.approx(0.5 * np.log(4 / 3), abs=1e-15)
    expected = 0.25 * np.log(0.5) + 0.75 * np.log(1.5)
    assert base_kl_units(tuned, base, "reverse").item() == pytest.approx(expected, abs=1e-15)


@BOTH
def test_it_is_the_relative_entropy_that_scipy_computes(direction):
    logits, base = draw(30, 9), draw(30, 9, seed=1)
    a, b = (np.exp(z.numpy()) / np.exp(z.numpy()).sum(-1, keepdims=True) for z in (logits, base))
    expected = scipy.stats.entropy(b, a, axis=-1) if direction == "forward" else scipy.stats.entropy(a, b, axis=-1)
    np.testing.assert_allclose(base_kl_units(logits, base, direction).numpy(), expected, rtol=1e-12)


@BOTH
def test_gradients_agree_with_finite_differences(direction):
    base, labels = draw(2, 4, 6, seed=1), torch.tensor([[1, 2, -100, 3], [-100, 4, 5, 0]])
    logits = draw(2, 4, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: base_kl(z, base, labels, direction), logits)


def test_the_forward_gradient_is_the_difference_of_the_distributions():
    logits, base = draw(10, 7).requires_grad_(), draw(10, 7, seed=1).requires_grad_()
    base_kl_units(logits, base).sum().backward()
    torch.testing.assert_close(logits.grad, logits.detach().softmax(-1) - base.detach().softmax(-1))
    assert base.grad is None


def test_one_direction_is_the_other_with_the_two_exchanged():
    logits, base = draw(10, 7), draw(10, 7, seed=1)
    torch.testing.assert_close(base_kl_units(logits, base, "reverse"), base_kl_units(base, logits, "forward"))


@BOTH
def test_a_shift_of_the_logits_changes_nothing(direction):
    logits, base = draw(10, 7), draw(10, 7, seed=1)
    moved = base_kl_units(logits + 4.0, base - 9.0, direction)
    torch.testing.assert_close(moved, base_kl_units(logits, base, direction))


@BOTH
def test_the_base_itself_is_the_optimum(direction):
    base = draw(1, 6, seed=1)
    logits = draw(1, 6).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [logits], max_iter=500, tolerance_grad=1e-10, tolerance_change=1e-18, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = base_kl_units(logits, base, direction).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(logits.detach().softmax(-1), base.softmax(-1), rtol=1e-5, atol=1e-6)


def test_forward_punishes_what_is_lost_and_reverse_what_is_made_up():
    sharp = torch.tensor([[10.0, 0.0]], dtype=torch.float64)
    flat = torch.zeros(1, 2, dtype=torch.float64)
    # The tuned model drops half of what the base says: the forward divergence is large, the reverse at most ln 2.
    assert base_kl_units(sharp, flat, "forward").item() > 4.0
    assert base_kl_units(sharp, flat, "reverse").item() < np.log(2)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.floats(-30, 30), min_size=4, max_size=4), min_size=2, max_size=2), st.booleans())
def test_it_is_never_negative_and_zero_only_for_the_same_distribution(pair, same):
    logits, base = (torch.tensor([row], dtype=torch.float64) for row in pair)
    logits = base - 1.5 if same else logits
    for direction in ("forward", "reverse"):
        kl = base_kl_units(logits, base, direction).item()
        assert kl >= -1e-12
        if same:
            assert kl == pytest.approx(0.0, abs=1e-12)
        elif (logits.softmax(-1) - base.softmax(-1)).abs().max() > 1e-4:
            assert kl > 0.0


@BOTH
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_logits_give_finite_values_and_gradients(direction, size):
    for whose in (0, 1):
        pair = [draw(1, 5).float(), draw(1, 5, seed=1).float()]
        pair[whose][0, 3] = size
        logits, base = pair[0].requires_grad_(), pair[1]
        kl = base_kl_units(logits, base, direction)
        kl.sum().backward()
        assert torch.isfinite(kl).all()
        assert torch.isfinite(logits.grad).all()


@BOTH
def test_bfloat16_logits_give_finite_float32_nats(direction):
    logits, base, labels = draw(2, 6, 50), draw(2, 6, 50, seed=1), torch.arange(12).view(2, 6)
    leaf = logits.bfloat16().requires_grad_()
    found = base_kl(leaf, base.bfloat16(), labels, direction)
    found.sum().backward()
    assert found.dtype == torch.float32
    assert torch.isfinite(leaf.grad).all()
    torch.testing.assert_close(found.double(), base_kl(logits, base, labels, direction), rtol=0.05, atol=0.02)


@BOTH
def test_labels_only_say_which_positions_count(direction):
    logits, base = draw(2, 4, 6), draw(2, 4, 6, seed=1)
    one, other = torch.tensor([[0, 3, -100, 1]] * 2), torch.tensor([[-100, 5, -100, 0]] * 2)
    found = base_kl(logits, base, one, direction)
    assert torch.equal(found, base_kl(logits, base, other, direction))
    assert (found != 0).tolist() == [[True, False, True, False]] * 2
    torch.testing.assert_close(found[:, 0], base_kl_units(logits[:, 0], base[:, 0], direction))


def test_shapes_that_do_not_agree_are_named():
    with pytest.raises(ValueError, match=r"must be \[B, T, V\], \[B, T, V\] and \[B, T\]"):
        base_kl(torch.zeros(2, 3, 5), torch.zeros(2, 3, 5), torch.zeros(2, 4, dtype=torch.int64))


def test_dropped_the_divergence_stands_in_the_place_of_the_task_loss_on_its_tokens_alone():
    from holdfast.core.method import chain
    from holdfast.core.tokens import Tokens
    from holdfast.methods.losses.base_kl import BaseKL

    generator = torch.Generator().manual_seed(3)
    logits, base = (torch.randn(6, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    source = torch.tensor([0, 1, 0, 2, 1, 0])
    tok = Tokens(logits, torch.tensor([0, 1, 2, 3, 4, 0]), source, torch.zeros(6).long(), base_logits_NV=base)
    for on, dropped in (("memory", source > 0), ("new", source == 0), ("all", source >= 0)):
        kept, gone = (chain(BaseKL(on=on, task_loss=word)) for word in ("kept", "dropped"))
        assert kept.weigh_tokens({}, tok).tolist() == [1.0] * 6
        assert gone.weigh_tokens({}, tok).tolist() == (~dropped).double().tolist()
        assert torch.equal(kept.token_loss({}, tok), gone.token_loss({}, tok))


def test_a_strength_of_zero_still_drops_the_task_loss():
    assert BaseKL(strength=0.0).off
    assert not BaseKL(strength=0.0, on="memory", task_loss="dropped").off
