"""The chunked forward against plain full logits, on every backbone."""

from __future__ import annotations

import copy

import pytest
import torch

from holdfast.core.method import chain
from holdfast.core.mix import Mix
from holdfast.core.params import trainable
from holdfast.core.run import SOURCE, Run
from holdfast.kernels.chunked import Casts, Logits
from holdfast.methods.losses.base_kl import BaseKL
from holdfast.methods.losses.mask_the_target import MaskTheTarget
from holdfast.methods.schedules.finch import Finch
from holdfast.methods.schedules.token_quality import TokenQuality
from holdfast.train.base import make_teacher
from holdfast.train.forward import Forward
from holdfast.train.full_loop import tokens
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
    assert sums.stats["tokens"] == (batch["labels"][:, 1:] != -100).sum()


@pytest.mark.parametrize(("backbone", "plain"), [(b, b != "gemma2") for b in BACKBONES])
def test_a_soft_capped_head_is_told_from_a_plain_one_by_looking(backbone, plain):
    assert Forward(tiny(backbone), chain(MaskTheTarget())).head.plain is plain


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_head_is_rounded_once_for_all_batches_and_a_trained_one_for_each(monkeypatch, frozen):
    model = tiny().float()
    model.get_output_embeddings().weight.requires_grad_(not frozen)
    forward = Forward(model, chain(MaskTheTarget()), teacher=make_teacher(model))
    rounded = []
    monkeypatch.setattr(Casts, "_copy", lambda self, tensor, dtype: rounded.append(tensor.shape) or tensor.to(dtype))
    losses = []
    for _ in range(3):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            losses.append(forward(model, collate(rows(5)), None, {}).loss.item())
    assert len(set(losses)) == 1
    head = model.get_output_embeddings().weight.shape
    assert rounded.count(head) == (1 if frozen else 6)  # of the model and of the base, which a frozen head shares


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


def comparing(recipe):
    """A model away from its base, its forward, and how many rows each reading of the base takes."""
    model = tiny()
    forward = Forward(model, chain(recipe), teacher=make_teacher(model))
    moved(model).train()
    read: list[int] = []

    def count(backbone, _args, kwargs):
        if not backbone.training:  # the base is read in eval mode
            read.append(len(kwargs["input_ids"]))

    model.model.register_forward_pre_hook(count, with_kwargs=True)
    return model, forward, read


@pytest.mark.parametrize(
    ("on", "old", "reads"),
    [
        ("memory", [1, 3], [2]),
        ("memory", [], []),
        ("memory", [0, 1, 2, 3, 4], [5]),
        ("new", [1, 3], [3]),
        ("all", [1, 3], [5]),
    ],
)
def test_the_base_reads_the_rows_that_are_compared_and_the_loss_is_that_of_reading_all(on, old, reads):
    model, forward, read = comparing(BaseKL(strength=2.0, on=on))
    batch = collate(rows(5))
    source_BT = torch.zeros_like(batch["labels"])
    source_BT[old] = 1
    sums = forward(model, batch, source_BT, {})
    sums.loss.backward()
    assert read == reads
    got = {name: p.grad.clone() for name, p in trainable(model).items()}
    model.zero_grad()
    expected = plain_loss(model, tiny().eval(), {**batch, SOURCE: source_BT}, forward.recipe, {})
    expected.backward()
    assert sums.loss.item() == pytest.approx(expected.item(), rel=1e-12)
    for name, p in trainable(model).items():
        torch.testing.assert_close(got[name], p.grad, rtol=1e-9, atol=1e-11)


def test_among_several_processes_the_base_reads_something_in_each(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    model, forward, read = comparing(BaseKL(on="memory"))
    batch = collate(rows(3))
    sums = forward(model, batch, torch.zeros_like(batch["labels"]), {})
    assert read == [1]
    assert sums.loss.item() == pytest.approx(tokens(model, None, batch).nll_N.sum().item(), rel=1e-12)


@pytest.mark.parametrize(
    ("recipe", "on"),
    [
        (BaseKL(on="memory") + Finch(), "memory"),
        (BaseKL(on="memory") + MaskTheTarget(on="new"), "all"),
        (BaseKL(on="memory") + TokenQuality(), "all"),
        (BaseKL(on="new") + MaskTheTarget(on="new"), "new"),
    ],
)
def test_what_is_compared_with_the_base_is_what_all_that_compare_agree_on(recipe, on):
    assert recipe.compares_on == on


def test_the_base_reads_every_row_where_a_row_is_more_than_its_tokens():
    model, forward, read = comparing(BaseKL(on="memory"))
    batch = collate(rows(3))
    positions = torch.arange(batch["labels"].shape[1])[None]
    forward(model, {**batch, "position_ids": positions}, torch.zeros_like(batch["labels"]), {})
    assert read == [3]


def test_under_autocast_the_base_s_weights_are_not_taken_for_the_model_s():
    base = tiny(dtype=torch.float32)
    model = copy.deepcopy(base)
    forward = Forward(model, chain(BaseKL()), teacher=make_teacher(model))
    moved(model)
    batch = collate(rows(4))
    exact = plain_loss(model, base.eval(), batch, forward.recipe, {})
    exact.backward()
    expected = {name: p.grad.clone() for name, p in trainable(model).items()}
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sums = forward(model, batch, None, {})
    sums.loss.backward()
    assert sums.loss.item() == pytest.approx(exact.item(), rel=0.03)
    for name, p in trainable(model).items():
        assert p.grad is not None, name
        gap = (p.grad - expected[name]).norm() / expected[name].norm()
        assert gap < 0.2, name


def test_where_no_token_is_compared_the_base_s_logits_are_not_made(monkeypatch):
    made = []
    get = Logits.__getitem__
    monkeypatch.setattr(Logits, "__getitem__", lambda self, of: made.append(of) or get(self, of))
    model, forward, _ = comparing(BaseKL(on="memory"))
    forward.chunk = 4
    batch = collate(rows(5))
    source_BT = torch.zeros_like(batch["labels"])
    source_BT[0] = 1
    first = int((batch["labels"][0, 1:] != -100).sum())
    forward(model, batch, source_BT, {})
    assert len(made) == -(-first // 4)
