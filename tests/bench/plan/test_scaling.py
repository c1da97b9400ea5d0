"""The formulas of the scaling sheet agree with the estimate of a dry run and with models built from their shapes."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from transformers import LlamaConfig, TrainingArguments

from holdfast.bench.plan.scaling import SHAPES, Shape, adapter_bytes, full_bytes, products, sheet
from holdfast.bench.run.estimate import bare_parameters, estimate
from holdfast.recipe import parse

TINY = Shape("tiny", 6, 256, 704, 256, 128, 4096)
GROUND = Shape("ground:base", 3, 256, 704, 256, 256, 1536, tied=True)
GEMMA = Shape("Gemma 3 270M", 18, 640, 2048, 1024, 256, 262_144, tied=True)


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


@pytest.mark.parametrize("shape", [TINY, dataclasses.replace(TINY, tied=True), SHAPES[1]], ids=repr)
def test_memory_is_near_the_estimate_of_a_dry_run(shape, tmp_path):
    arguments = TrainingArguments(
        output_dir=str(tmp_path), per_device_train_batch_size=8, bf16=True, use_cpu=True, report_to="none"
    )
    held = "BaseKL(on='memory') + Rehearsal('old', ratio=0.5)"
    full = estimate("org/none", config_of(shape), parse(held), arguments, 128)
    assert full_bytes(shape, 8 * 128) == pytest.approx(full.total, rel=0.2)
    arguments.gradient_accumulation_steps = 2
    again = estimate("org/none", config_of(shape), parse(held), arguments, 128)
    assert full_bytes(shape, 8 * 128, accumulates=True) == pytest.approx(again.total, rel=0.2)
    adapter = estimate("org/none", config_of(shape), parse(f"LoRA() + {held}"), arguments, 128)
    # The estimate also counts 16-bit copies of the frozen weights, which have 16 bits already.
    assert adapter_bytes(shape, 8 * 128) == pytest.approx(adapter.total - 2 * shape.linear, rel=0.2)


def test_memory_is_near_what_was_measured():
    page = (Path(__file__).parents[3] / "docs/studies/real-models.md").read_text(encoding="utf-8")
    row = re.search(r"^\| Train\(\) \|(.+)\|$", page, re.MULTILINE)[1].split("|")
    for shape, tokens, column in ((GROUND, 8 * 128, 1), (GEMMA, 8 * 80, 4)):
        measured = float(re.sub(r"[^\d.]", "", row[column])) * 2**20
        assert full_bytes(shape, tokens, copies=0, plain=True) == pytest.approx(measured, rel=0.1), shape.name


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
