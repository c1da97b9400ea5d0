"""The chunked loss in place of a trainer's own: the same run, and only where the two are equal."""

from __future__ import annotations

import copy

import pytest
import transformers

from holdfast.core.method import chain
from holdfast.methods.losses.mask_the_target import MaskTheTarget
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import furthest, trainer_for


class OtherLoss(transformers.Trainer):
    def compute_loss(self, *args, **kwargs):
        return super().compute_loss(*args, **kwargs)


def trained(folder, recipe, start, **how):
    trainer = trainer_for(copy.deepcopy(start), folder, tiny.rows(24), micro=4, accumulate=2)
    attach(trainer, recipe, **how)
    trainer.train()
    return trainer


@pytest.mark.parametrize("recipe", [None, "Cosine()", "LoRA(rank=2) + Finch()", "BaseL2(strength=0.1)"])
@pytest.mark.parametrize("backbone", ["llama", "gpt2"])
def test_it_ends_where_the_trainers_own_loss_ends(tmp_path, recipe, backbone):
    start = tiny.tiny(backbone)
    own, ours = (trained(tmp_path, recipe, start, chunked_loss=chunked) for chunked in (False, True))
    assert ours.holdfast.owns_forward
    assert not own.holdfast.owns_forward
    assert furthest(ours.model, own.model) < 1e-6  # transformers computes its loss in float32
    assert furthest(own.model, trained(tmp_path, recipe, tiny.tiny(backbone, seed=1)).model) > 1e-3
    losses = [[row["loss"] for row in t.state.log_history if "loss" in row] for t in (own, ours)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_logits_of_all_tokens_never_exist(tmp_path):
    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(8))
    attach(trainer, chunked_loss=True)
    shapes = []
    head = trainer.model.get_output_embeddings()
    head.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape)))
    trainer.train()
    assert shapes
    assert all(shape == () for shape in shapes)


def test_a_loss_that_differs_is_kept(tmp_path):
    smooth = trainer_for(tiny.tiny(), tmp_path, tiny.rows(8), label_smoothing_factor=0.1)
    other = trainer_for(tiny.tiny(), tmp_path, tiny.rows(8), trainer_class=OtherLoss)
    capped = trainer_for(tiny.tiny("gemma2"), tmp_path, tiny.rows(8))
    experts = trainer_for(tiny.tiny("mixtral"), tmp_path, tiny.rows(8))
    model = trainer_for(tiny.with_own_loss(tiny.tiny()), tmp_path, tiny.rows(8))
    for trainer in (smooth, other, capped, experts, model):
        attach(trainer, chunked_loss=True)
        assert not trainer.holdfast.owns_forward
        trainer.train()


def test_a_recipe_of_tokens_is_the_same_with_and_without(tmp_path):
    start = tiny.tiny()
    ends = [trained(tmp_path, chain(MaskTheTarget()), start, chunked_loss=chunked) for chunked in (False, True)]
    assert furthest(ends[0].model, ends[1].model) == 0.0
