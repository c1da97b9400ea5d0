"""The divergence from the base over all tokens but the target."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.methods.losses.base_kl import base_kl_units
from holdfast.methods.losses.mask_the_target import MaskTheTarget, mask_the_target, non_target_kl


def draw(*shape, seed=0, scale=2.0, dtype=torch.float64):
    return scale * torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def by_formula(logits_NV, base_NV, labels_N):
    """KL(p_b^{not y} || p_a^{not y}) from the probabilities themselves, token by token."""
    found = []
    for row, base, y in zip(logits_NV.numpy(), base_NV.numpy(), labels_N.tolist(), strict=True):
        a, b = (np.exp(z - z.max()) / np.exp(z - z.max()).sum() for z in (row, base))
        total = 0.0
        for c in range(len(a)):
            if c != y:
                q, p = a[c] / (1.0 - a[y]), b[c] / (1.0 - b[y])
                total += p * (np.log(p) - np.log(q))
        found.append(total)
    return torch.tensor(found)


def test_a_value_worked_by_hand():
    base = torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64).log()
    tuned = torch.tensor([[0.2, 0.2, 0.6]], dtype=torch.float64).log()
    # Without the first token: (1/2, 1/2) against (1/4, 3/4), so 1/2 ln 2 + 1/2 ln 2/3 = 1/2 ln 4/3.
    assert non_target_kl(tuned, base, torch.tensor([0])).item() == pytest.approx(0.5 * np.log(4 / 3), abs=1e-15)


def test_it_is_the_formula_of_the_paper():
    logits, base, labels = draw(40, 13), draw(40, 13, seed=1), torch.arange(40) % 13
    torch.testing.assert_close(non_target_kl(logits, base, labels), by_formula(logits, base, labels))


def test_it_is_the_third_part_of_the_full_divergence():
    logits, base, labels = draw(30, 9), draw(30, 9, seed=1), torch.arange(30) % 9
    a, b = (z.softmax(-1).gather(1, labels[:, None])[:, 0] for z in (logits, base))
    towards_target = b * (b / a).log() + (1 - b) * ((1 - b) / (1 - a)).log()
    expected = towards_target + (1 - b) * non_target_kl(logits, base, labels)
    torch.testing.assert_close(base_kl_units(logits, base), expected)


def test_gradients_agree_with_finite_differences():
    base, labels = draw(2, 5, 7, seed=1), torch.tensor([[1, 2, -100, 3, 4], [-100, -100, 6, 0, 5]])
    logits = draw(2, 5, 7).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: mask_the_target(z, base, labels), logits)


def test_the_gradient_is_the_difference_of_the_two_distributions_and_nothing_reaches_target_or_base():
    labels = torch.arange(20) % 11
    logits, base = draw(20, 11).requires_grad_(), draw(20, 11, seed=1).requires_grad_()
    non_target_kl(logits, base, labels).sum().backward()
    target = torch.nn.functional.one_hot(labels, 11).bool()
    own, kept = (z.detach().masked_fill(target, -torch.inf).softmax(-1) for z in (logits, base))
    torch.testing.assert_close(logits.grad, own - kept)
    assert not logits.grad[target].any()
    assert base.grad is None


def test_the_logit_of_the_target_is_free():
    logits, base, labels = draw(20, 11), draw(20, 11, seed=1), torch.arange(20) % 11
    target = torch.nn.functional.one_hot(labels, 11)
    moved = non_target_kl(logits + 3.0 * target, base, labels)
    torch.testing.assert_close(moved, non_target_kl(logits, base, labels), rtol=1e-12, atol=1e-14)


def test_a_shift_of_all_logits_changes_nothing():
    logits, base, labels = draw(20, 11), draw(20, 11, seed=1), torch.arange(20) % 11
    moved = non_target_kl(logits + 5.0, base - 7.0, labels)
    torch.testing.assert_close(moved, non_target_kl(logits, base, labels))


def test_with_two_tokens_there_is_nothing_to_compare():
    found = non_target_kl(draw(9, 2), draw(9, 2, seed=1), torch.arange(9) % 2)
    torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=1e-14)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.floats(-30, 30), min_size=5, max_size=5), min_size=2, max_size=2),
    st.integers(0, 4),
    st.booleans(),
)
def test_it_is_never_negative_and_zero_only_for_the_same_alternatives(pair, label, same):
    logits, base = (torch.tensor([row], dtype=torch.float64) for row in pair)
    if same:
        logits = base + 2.5 + torch.nn.functional.one_hot(torch.tensor([label]), 5)
    kl = non_target_kl(logits, base, torch.tensor([label]), certain=0.0)
    assert kl.item() >= -1e-12
    others = torch.tensor([c for c in range(5) if c != label])
    gap = (logits - base)[0, others]
    likely = base[0, others].softmax(-1) > 1e-6
    if same:
        assert kl.item() == pytest.approx(0.0, abs=1e-12)
    elif likely.all() and (gap - gap.mean()).abs().max() > 1e-2:
        assert kl.item() > 0.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e4, -1e4])
@pytest.mark.parametrize("whose", ["tuned", "base", "both"])
@pytest.mark.parametrize("on_target", [True, False])
def test_extreme_logits_give_finite_values_and_gradients(dtype, size, whose, on_target):
    labels = torch.tensor([2])
    logits, base = draw(1, 6, dtype=dtype), draw(1, 6, seed=1, dtype=dtype)
    for name, z in (("tuned", logits), ("base", base)):
        if whose in (name, "both"):
            z[0, 2 if on_target else 3] = size
    logits.requires_grad_()
    kl = non_target_kl(logits, base, labels)
    kl.sum().backward()
    assert torch.isfinite(kl).all()
    assert torch.isfinite(logits.grad).all()
    assert kl.item() >= 0.0


@pytest.mark.parametrize("left", [1e-5, 0.9e-4, 1.1e-4, 1e-3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_where_the_base_is_certain_of_the_target_there_is_exactly_nothing(left, dtype):
    base = torch.tensor([[1.0 - left, 0.7 * left, 0.3 * left]], dtype=torch.float64).log().to(dtype)
    logits = torch.tensor([[0.1, -1.0, 2.0]], dtype=dtype, requires_grad=True)
    kl = non_target_kl(logits, base, torch.tensor([0]))
    kl.sum().backward()
    assert torch.isfinite(logits.grad).all()
    if left < 1e-4:
        assert kl.item() == 0.0
        assert not logits.grad.any()
    else:
        assert kl.item() > 0.1
        assert logits.grad.any()


@pytest.mark.parametrize("gap", [50.0, 200.0, 1e4])
def test_certainty_beyond_what_float32_can_tell_from_one_is_no_nan(gap):
    base = torch.tensor([[gap, 0.0, 1.0]])
    for certain, counted in ((1e-4, False), (0.0, True)):
        logits = torch.tensor([[0.1, -1.0, 2.0]], requires_grad=True)
        kl = non_target_kl(logits, base, torch.tensor([0]), certain)
        kl.sum().backward()
        assert (kl.item() > 0.0) is counted
        assert torch.isfinite(logits.grad).all()


def test_bfloat16_logits_give_finite_float32_nats_near_the_exact_ones():
    logits, base = draw(2, 6, 50), draw(2, 6, 50, seed=1)
    labels = torch.arange(12).view(2, 6)
    leaf = logits.bfloat16().requires_grad_()
    found = mask_the_target(leaf, base.bfloat16(), labels)
    found.sum().backward()
    assert found.dtype == torch.float32
    assert torch.isfinite(leaf.grad).all()
    torch.testing.assert_close(found.double(), mask_the_target(logits, base, labels), rtol=0.05, atol=0.02)


def test_each_position_scores_the_next_label_and_the_rest_is_zero():
    logits, base = draw(2, 5, 7).requires_grad_(), draw(2, 5, 7, seed=1)
    labels = torch.tensor([[3, -100, 2, 5, -100], [-100, 1, -100, -100, 6]])
    found = mask_the_target(logits, base, labels)
    expected = torch.zeros(2, 5, dtype=torch.float64)
    for b, t in [(0, 1), (0, 2), (1, 0), (1, 3)]:
        expected[b, t] = by_formula(logits[b, t : t + 1].detach(), base[b, t : t + 1], labels[b, t + 1 : t + 2])
    torch.testing.assert_close(found, expected)
    found.sum().backward()
    assert not logits.grad[expected == 0].any()
    assert not found[:, -1].any()


def test_a_batch_without_labels_is_a_zero_with_a_gradient():
    logits = draw(2, 3, 5).requires_grad_()
    found = mask_the_target(logits, draw(2, 3, 5), torch.full((2, 3), -100))
    found.sum().backward()
    assert not found.any()
    assert not logits.grad.any()


@pytest.mark.parametrize(
    ("base", "labels"), [((2, 3, 6), (2, 3)), ((2, 4, 5), (2, 3)), ((2, 3, 5), (2, 4)), ((2, 3, 5), (6,))]
)
def test_shapes_that_do_not_agree_are_named(base, labels):
    with pytest.raises(ValueError, match=r"logits \(2, 3, 5\), base logits .* and labels .* must be \[B, T, V\]"):
        mask_the_target(torch.zeros(2, 3, 5), torch.zeros(base), torch.zeros(labels, dtype=torch.int64))


def test_the_method_multiplies_the_function_by_its_strength():
    from holdfast.core.tokens import Tokens

    logits, base, labels = draw(8, 6), draw(8, 6, seed=1), torch.arange(8) % 6
    tok = Tokens(logits, labels, torch.zeros(8, dtype=torch.int64), torch.zeros(8), base_logits_NV=base)
    for certain in (1e-4, 0.8):
        expected = 2.5 * non_target_kl(logits, base, labels, certain)
        torch.testing.assert_close(MaskTheTarget(strength=2.5, certain=certain).token_loss({}, tok), expected)
    assert (non_target_kl(logits, base, labels, 0.8) == 0).any()
