"""The chunked forward against plain full logits, on every backbone."""

from __future__ import annotations

import copy

import pytest
import torch

from holdfast.core.method import Run, chain
from holdfast.core.mix import Mix
from holdfast.core.params import trainable
from holdfast.methods.losses.mask_the_target import MaskTheTarget
from holdfast.train.base import make_teacher
from holdfast.train.forward import Forward
from holdfast.train.loop import tokens
from tests.acting import Acting
from tests.tiny import BACKBONES, collate, rows, tiny


def moved(model, seed=1):
    """The model after a random change of its weights, so that it differs from its base."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for p in trainable(model).values():
            p.add_(0.05 * torch.randn_like(p))
    return model


def plain_loss(model, base, batch, recipe, state):
    tok = tokens(model, base, batch)
    return (tok.nll_N * recipe.weigh_tokens(state, tok).detach() + recipe.token_loss(state, tok)).sum()


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("chunk", [1, 7, None])
def test_loss_and_every_gradient_equal_those_of_full_logits(backbone, chunk):
    base = tiny(backbone)
    recipe = chain(Acting(), MaskTheTarget())
    model = copy.deepcopy(base)
    forward = Forward(model, recipe, teacher=make_teacher(model), chunk=chunk)
    moved(model)
    batch = collate(rows(5))
    sums = forward(model, batch, None, {})
    sums.loss.backward()
    got = {name: p.grad.clone() for name, p in trainable(model).items() if p.grad is not None}
    model.zero_grad()
    expected = plain_loss(model, base.eval(), batch, recipe, {})
    expected.backward()
    assert sums.loss.item() == pytest.approx(expected.item(), rel=1e-12)
    for name, p in trainable(model).items():
        if p.grad is not None:
            torch.testing.assert_close(got[name], p.grad, rtol=1e-9, atol=1e-11)
    assert sums.stats["units"] == (batch["labels"][:, 1:] != -100).sum()


@pytest.mark.parametrize(("backbone", "plain"), [(b, b != "gemma2") for b in BACKBONES])
def test_a_soft_capped_head_is_told_from_a_plain_one_by_looking(backbone, plain):
    assert Forward(tiny(backbone), chain(MaskTheTarget())).plain_head is plain


def test_a_batch_without_supervised_tokens_gives_a_zero_with_zero_gradients():
    model = tiny()
    forward = Forward(model, chain(MaskTheTarget()), teacher=make_teacher(model))
    batch = collate(rows(2))
    batch["labels"][:] = -100
    sums = forward(model, batch, None, {})
    sums.loss.backward()
    assert sums.loss.item() == 0.0
    assert all(p.grad is not None and not p.grad.any() for p in trainable(model).values())


def test_hold_multiplies_the_added_terms_and_not_the_task():
    base = tiny()
    model = copy.deepcopy(base)
    recipe = chain(MaskTheTarget())
    forward = Forward(model, recipe, teacher=make_teacher(model))
    moved(model)
    batch = collate(rows(4))
    free, once, twice = (forward(model, batch, None, {}, hold).loss.item() for hold in (0.0, 1.0, 2.0))
    assert free == pytest.approx(tokens(model, None, batch).nll_N.sum().item())
    assert twice - once == pytest.approx(once - free)
    assert once > free


def test_the_head_is_left_as_it_was_found():
    model = tiny()
    forward = Forward(model, chain(MaskTheTarget()), teacher=make_teacher(model))
    batch = collate(rows(2))
    before = model(input_ids=batch["input_ids"]).logits
    forward(model, batch, None, {})
    assert "forward" not in model.lm_head.__dict__
    assert torch.equal(model(input_ids=batch["input_ids"]).logits, before)


def test_lora_shapes_every_backbone_and_starts_as_the_base():
    from holdfast.methods.selection.lora import LoRA

    for backbone in BACKBONES:
        base = tiny(backbone)
        batch = collate(rows(3))
        run = Run(copy.deepcopy(base), Mix(()), 0, 0, None, None)
        model = LoRA(rank=2).shape_model(run)
        assert all("lora_" in name for name in trainable(model))
        with torch.no_grad():
            torch.testing.assert_close(
                model(input_ids=batch["input_ids"]).logits, base(input_ids=batch["input_ids"]).logits
            )
