"""The deeper a layer, the more slowly it learns."""

from __future__ import annotations

import copy

import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.core.params import layer_of, trainable
from holdfast.methods.schedules.layerwise_decay import LayerwiseDecay, layerwise_decay
from holdfast.methods.selection.lora import LoRA
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import trainer_for


def test_values_worked_by_hand():
    names = [
        "embed.weight",
        "layers.0.q.weight",
        "layers.1.q.weight",
        "layers.2.mlp.experts.7.up",
        "norm.weight",
        "head.weight",
    ]
    assert layerwise_decay(names, 0.5) == dict(zip(names, [0.125, 0.25, 0.5, 1.0, 1.0, 1.0], strict=True))
    assert pytest.approx(0.194, abs=1e-3) == 0.95**32
    assert (layer_of("model.layers.3.mlp.experts.7.up"), layer_of("model.norm.weight")) == (3, None)
    assert layerwise_decay(["weight", "bias"], 0.5) == {}


@pytest.mark.parametrize("backbone", ["llama", "gpt2", "gemma2", "mixtral"])
def test_the_rate_falls_from_layer_to_layer_on_every_backbone(backbone):
    factors = LayerwiseDecay(decay=0.5).group_params(trainable(tiny.tiny(backbone)))
    by_layer = {}
    for name, factor in factors.items():
        by_layer.setdefault(layer_of(name), set()).add(factor)
    layers = sorted(layer for layer in by_layer if layer is not None)
    assert [by_layer[layer] for layer in layers] == [{0.5 ** (len(layers) - 1 - layer)} for layer in layers]
    assert 0.5 ** len(layers) in by_layer[None], "the embeddings are the slowest"


def test_a_step_of_plain_sgd_is_smaller_by_the_factor(tmp_path):
    start = tiny.tiny()
    moved = []
    for recipe in (None, LayerwiseDecay(decay=0.5)):
        trainer = trainer_for(copy.deepcopy(start), tmp_path, tiny.rows(8), max_steps=1)
        if recipe is not None:
            attach(trainer, recipe)
        trainer.train()
        after = dict(trainer.model.named_parameters())
        moved.append({name: after[name].detach() - p.detach() for name, p in start.named_parameters()})
    factors = layerwise_decay([name for name, _ in start.named_parameters()], 0.5)
    for name, factor in factors.items():
        torch.testing.assert_close(moved[1][name], factor * moved[0][name], rtol=1e-9, atol=1e-13)


def test_an_adapter_goes_with_the_layer_it_sits_on(tmp_path):
    trainer = attach(trainer_for(tiny.tiny(), tmp_path, tiny.rows(8)), LoRA(rank=2) + LayerwiseDecay(decay=0.5))
    factors = LayerwiseDecay(decay=0.5).group_params(trainable(trainer.model))
    assert {(layer_of(name), factor) for name, factor in factors.items()} == {(0, 0.5), (1, 1.0)}


def test_where_nothing_has_a_layer_it_is_refused():
    with pytest.raises(HoldfastError, match="no trained parameter lies in a numbered layer"):
        LayerwiseDecay().group_params({"weight": torch.nn.Parameter(torch.zeros(1))})
    assert LayerwiseDecay(decay=1.0).off
