"""What lies low stands still."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.core.method import chain
from holdfast.core.mix import Mix
from holdfast.core.params import trainable
from holdfast.core.run import Run
from holdfast.methods.selection.freeze_bottom import FreezeBottom, freeze_bottom
from holdfast.methods.selection.lora import LoRA
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import both, furthest, trainer_for


def shaped(recipe, model):
    return chain(recipe).shape_model(Run(copy.deepcopy(model), Mix(()), 0, 0, None, None))


def names(layers):
    return ["emb.weight", *(f"h.{i}.w{j}" for i in range(layers) for j in range(2)), "norm.weight", "head.weight"]


def test_values_worked_by_hand():
    assert freeze_bottom(names(3), 0.0) == {"emb.weight"}
    assert freeze_bottom(names(3), 0.34) == {"emb.weight", "h.0.w0", "h.0.w1"}
    assert freeze_bottom(names(3), 0.99) == {"emb.weight", "h.0.w0", "h.0.w1", "h.1.w0", "h.1.w1"}
    assert freeze_bottom(names(3), 1.0) == set(names(3)) - {"norm.weight", "head.weight"}
    assert len(freeze_bottom(names(10), 0.3)) == len(freeze_bottom(names(100), 0.03)) == 7, "3 of 10, whatever floats"
    assert freeze_bottom(["weight"], 0.5) == set()


@given(st.integers(1, 40), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_freezes_all_that_a_smaller_one_does_and_the_top_trains_below_one(layers, one, other):
    less, more = sorted((one, other))
    assert freeze_bottom(names(layers), less) <= freeze_bottom(names(layers), more)
    if more < 0.999:
        assert f"h.{layers - 1}.w0" not in freeze_bottom(names(layers), more)
        assert len(freeze_bottom(names(layers), more)) <= 2 * more * layers + 1 + 1e-6


@pytest.mark.parametrize("backbone", tiny.BACKBONES)
def test_on_every_family_the_bottom_layer_and_the_embeddings_freeze_and_the_rest_trains(backbone):
    model = shaped(FreezeBottom(share=0.5), tiny.tiny(backbone))
    trained = set(trainable(model))
    low = {n for n, _ in model.named_parameters() if ".0." in n[:20] or "embed" in n or "wte" in n or "wpe" in n}
    assert trained == {n for n, _ in model.named_parameters()} - low
    assert any(".1." in name for name in trained)


@pytest.mark.parametrize("recipe", [LoRA(rank=2) + FreezeBottom(share=0.5), FreezeBottom(share=0.5) + LoRA(rank=2)])
def test_beside_an_adapter_its_part_in_the_bottom_layers_freezes_in_either_order(recipe):
    model = shaped(recipe, tiny.tiny())
    trained = trainable(model)
    assert trained
    assert all("lora_" in name and ".layers.1." in name for name in trained)
    assert any(".layers.0." in name and "lora_" in name for name, _ in model.named_parameters())


def test_what_is_frozen_keeps_its_bits_and_the_rest_learns(tmp_path):
    start = tiny.tiny()
    trainer = trainer_for(copy.deepcopy(start), tmp_path, tiny.rows(16), optim="adamw_torch", weight_decay=0.1)
    attach(trainer, FreezeBottom(share=0.5)).train()
    still = freeze_bottom([name for name, _ in start.named_parameters()], 0.5)
    after = dict(trainer.model.named_parameters())
    for name, before in start.named_parameters():
        assert torch.equal(before, after[name]) is (name in still), name


def test_the_trainer_retraces_the_loop(tmp_path):
    _, trained, expected, _ = both(tmp_path, "FreezeBottom(share=0.5)")
    assert furthest(trained, expected) < 1e-8  # transformers takes its own loss in float32


def test_what_cannot_be_is_refused_and_the_model_stays_as_it_was(tmp_path):
    with pytest.raises(HoldfastError, match=r"FreezeBottom\(\): no parameter lies in a numbered layer \(weight"):
        shaped(FreezeBottom(), torch.nn.Linear(2, 2))
    model = tiny.tiny()
    trainer = trainer_for(model, tmp_path, tiny.rows(8))
    with pytest.raises(HoldfastError, match="leaves nothing to train; lower share"):
        attach(trainer, "LoRA(rank=2) + FreezeBottom(share=1.0)")
    assert all(p.requires_grad for p in model.parameters())
    assert not any("lora" in name for name, _ in trainer.model.named_parameters())
    assert FreezeBottom(share=0.0).off
