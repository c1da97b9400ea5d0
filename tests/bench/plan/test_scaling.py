"""The formulas of the scaling sheet agree with the estimate of a dry run and with models built from their shapes."""

from __future__ import annotations

import dataclasses

import pytest
from transformers import LlamaConfig, TrainingArguments

from holdfast.bench.plan.scaling import SHAPES, Shape, adapter_bytes, full_bytes, products, sheet
from holdfast.bench.run.estimate import bare_parameters, estimate
from holdfast.recipe import parse

TINY = Shape("tiny", 6, 256, 704, 256, 128, 4096)


def config_of(shape):
    return LlamaConfig(
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.queries // 64,
        num_key_value_heads=shape.keys // 64,
        head_dim=64,
        vocab_size=shape.vocabulary,
        tie_word_embeddings=shape.tied,
        dtype="bfloat16",
    )


@pytest.mark.parametrize("shape", [TINY, *SHAPES[:3]], ids=lambda shape: shape.name)
def test_parameters_are_those_of_a_model_of_this_shape(shape):
    assert shape.parameters == bare_parameters(config_of(shape))


def test_sizes_are_what_their_names_say():
    for shape, size in zip(SHAPES, (1e8, 1e9, 8e9, 7e10, 1e12), strict=True):
        assert shape.parameters == pytest.approx(size, rel=0.35)


@pytest.mark.parametrize("tied", [False, True])
def test_memory_is_near_the_estimate_of_a_dry_run(tied, tmp_path):
    shape = dataclasses.replace(TINY, tied=tied)
    arguments = TrainingArguments(
        output_dir=str(tmp_path), per_device_train_batch_size=8, bf16=True, use_cpu=True, report_to="none"
    )
    for text, formula in (
        ("BaseKL(on='memory') + Rehearsal('old', ratio=0.5)", full_bytes(shape, 8 * 128)),
        ("LoRA() + BaseKL(on='memory') + Rehearsal('old', ratio=0.5)", adapter_bytes(shape, 8 * 128)),
    ):
        need = estimate("org/none", config_of(shape), parse(text), arguments, 128)
        fixed = need.parts["weights"] + need.parts["gradients"] + need.parts["optimizer"] + need.parts["copies"]
        moving = formula - full_bytes(shape, 0) if "LoRA" not in text else formula - adapter_bytes(shape, 0)
        assert formula - moving == pytest.approx(fixed, rel=0.05), text
        assert moving == pytest.approx(need.parts["activations"] + need.parts["logits"], rel=0.6), text


def test_work_grows_with_tokens_and_an_adapter_needs_less():
    assert products(TINY, 2000, adapts=False) == 2 * products(TINY, 1000, adapts=False)
    assert products(TINY, 1000, adapts=True) < products(TINY, 1000, adapts=False)
    assert products(TINY, 1, adapts=False) == 14 * TINY.used


def test_a_mixture_uses_fewer_weights_than_it_has():
    dense = dataclasses.replace(TINY, experts=1)
    mixture = dataclasses.replace(TINY, experts=8, active=2)
    assert dense.used < mixture.used < mixture.parameters
    assert mixture.parameters > 4 * dense.parameters


def test_the_sheet_says_what_is_extrapolated():
    made = sheet()
    assert [size.name for size in made.sizes] == ["0.1B", "1B", "8B", "70B", "1T"]
    assert made.sizes[-1].evidence == "extrapolated"
    assert any("Extrapolation" in note for note in made.notes)
    assert made.sizes[-1].gpus > made.sizes[2].gpus
    assert all(size.hours > 0 for size in made.sizes)
    assert made.to_dict()["sizes"][0]["name"] == "0.1B"
