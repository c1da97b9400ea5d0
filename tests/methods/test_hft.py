"""Half of every layer stands still."""

from __future__ import annotations

import collections
import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.core.method import chain
from holdfast.core.mix import Mix
from holdfast.core.params import layer_of, trainable
from holdfast.core.run import Run
from holdfast.methods.selection.hft import HFT, category_of, hft
from holdfast.methods.selection.lora import LoRA
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import both, furthest, trainer_for

LLAMA = (
    *(f"self_attn.{x}_proj" for x in "qkvo"),
    *(f"mlp.{x}_proj" for x in ("gate", "up", "down")),
    "input_layernorm",
    "post_attention_layernorm",
)


def blocks(layers):
    return ["model.embed_tokens", *(f"model.layers.{i}.{name}" for i in range(layers) for name in LLAMA), "lm_head"]


def shaped(recipe, model, seed=0):
    return chain(recipe).shape_model(Run(copy.deepcopy(model), Mix(()), seed, 0, None, None))


@given(st.integers(1, 20), st.integers(0, 10_000))
def test_of_each_category_of_each_layer_half_stands_still(layers, seed):
    frozen = hft(blocks(layers), 0.5, str(seed))
    counts = collections.Counter((layer_of(block), category_of(block)) for block in frozen)
    assert all(counts[i, "attention"] == 2 and counts[i, "norm"] == 1 for i in range(layers))
    of_ffn = [counts[i, "ffn"] for i in range(layers)]
    assert set(of_ffn) <= {1, 2}
    assert sum(of_ffn) - layers in {layers // 2, -(-layers // 2)}
    assert not {"model.embed_tokens", "lm_head"} & frozen


@given(st.floats(0, 1), st.integers(0, 1000))
def test_the_share_is_kept_as_near_as_whole_blocks_can(share, seed):
    frozen = collections.Counter(category_of(block) for block in hft(blocks(10), share, str(seed)))
    for category, size in (("attention", 40), ("ffn", 30), ("norm", 20)):
        assert abs(frozen[category] - share * size) <= 0.5 + 1e-6


def test_the_ends_freeze_nothing_and_all_layers():
    assert hft(blocks(3), 0.0, "0") == set()
    assert hft(blocks(3), 1.0, "0") == {block for block in blocks(3) if layer_of(block) is not None}
    assert HFT(share=0.0).off


def test_every_block_is_drawn_as_often_as_the_others_and_no_category_knows_of_the_others():
    draws = collections.Counter(block for seed in range(400) for block in hft(blocks(4), 0.5, str(seed)))
    assert set(draws) == set(blocks(4)) - {"model.embed_tokens", "lm_head"}
    assert all(abs(count - 200) < 50 for count in draws.values())  # five standard deviations
    attention = [block for block in blocks(4) if category_of(block) == "attention"]
    assert hft(attention, 0.5, "3") == hft(blocks(4), 0.5, "3") & set(attention)


@pytest.mark.parametrize("backbone", tiny.BACKBONES)
def test_on_every_family_about_half_of_each_layer_trains_and_biases_go_with_their_matrix(backbone):
    model = shaped(HFT(), tiny.tiny(backbone))
    trained = trainable(model)
    for name, p in model.named_parameters():
        if layer_of(name) is None:
            assert p.requires_grad, name
        if name.endswith(".bias"):
            assert (name in trained) is (name.removesuffix("bias") + "weight" in trained)
    for layer in (0, 1):
        for category in ("attention", "ffn", "norm"):
            here = {
                name.removesuffix(".weight").removesuffix(".bias"): p.requires_grad
                for name, p in model.named_parameters()
                if layer_of(name) == layer and category_of(name.rsplit(".weight")[0].rsplit(".bias")[0]) == category
            }
            assert len(here) >= 2, (layer, category)
            assert 1 <= sum(here.values()) < len(here), (layer, category)


@pytest.mark.parametrize("backbone", ["llama", "mixtral"])
@pytest.mark.parametrize("recipe", [LoRA(rank=2) + HFT(), HFT() + LoRA(rank=2)], ids=repr)
def test_beside_an_adapter_both_factors_of_a_matrix_go_together(backbone, recipe):
    model = shaped(recipe, tiny.tiny(backbone))
    factors = collections.defaultdict(set)
    for name, p in model.named_parameters():
        if "lora_" in name:
            factors[name.split(".lora_")[0]].add(p.requires_grad)
        else:
            assert not p.requires_grad
    assert all(len(found) == 1 for found in factors.values())
    trained = sum(found == {True} for found in factors.values())
    assert 0.3 <= trained / len(factors) <= 0.7


def test_the_seeds_of_run_and_method_choose(tmp_path):
    draws = [set(trainable(shaped(HFT(seed=s), tiny.tiny(), seed=r))) for s, r in ((0, 0), (0, 0), (1, 0), (0, 1))]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
    assert draws[0] != draws[3]
    assert draws[2] != draws[3]


def test_what_is_frozen_keeps_its_bits_and_the_rest_learns(tmp_path):
    start = tiny.tiny()
    trainer = trainer_for(copy.deepcopy(start), tmp_path, tiny.rows(16), optim="adamw_torch", weight_decay=0.1)
    attach(trainer, HFT()).train()
    after = dict(trainer.model.named_parameters())
    moved = {name for name, before in start.named_parameters() if not torch.equal(before, after[name])}
    assert moved == set(trainable(shaped(HFT(), start, seed=5)))


def test_the_trainer_retraces_the_loop(tmp_path):
    _, trained, expected, _ = both(tmp_path, "HFT(seed=3)")
    assert furthest(trained, expected) < 1e-8  # transformers takes its own loss in float32


def test_what_cannot_be_is_refused():
    with pytest.raises(HoldfastError, match=r"HFT\(\): no trained parameter lies in a numbered layer \(weight, bias"):
        shaped(HFT(), torch.nn.Linear(2, 2))
    with pytest.raises(HoldfastError, match="leaves nothing to train; lower share"):
        shaped(LoRA(rank=2) + HFT(share=1.0), tiny.tiny())
