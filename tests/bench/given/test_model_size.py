"""The size of a model by its config files, and the recipe of a run that names none."""

from __future__ import annotations

import json

import pytest
from transformers import AutoConfig, AutoModelForCausalLM

from holdfast.bench.given.model_size import model_size
from holdfast.bench.given.specs import RunSpec
from holdfast.recipe import parse

LARGE = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "vocab_size": 50_000}
HEADS = {"num_attention_heads": 12, "num_key_value_heads": 4, "head_dim": 64}
TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"


def folder_of(path, *, template=True, **changes):
    config = {"model_type": "llama", "tie_word_embeddings": True, **LARGE, **HEADS, **changes}
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE} if template else {}))
    return path


@pytest.mark.parametrize("template", [True, False])
@pytest.mark.parametrize("changes", [{}, {"tie_word_embeddings": False}, {"num_hidden_layers": 3}])
def test_the_size_is_that_of_the_model_within_some_percent(tmp_path, template, changes):
    import torch

    folder = folder_of(tmp_path / "m", template=template, **changes)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    assert model_size(str(folder)) == pytest.approx(sum(p.numel() for p in model.parameters()), rel=0.02)


def test_a_model_without_files_has_no_size(tmp_path):
    folder_of(tmp_path / "m")
    assert model_size(str(tmp_path / "none")) == model_size("nobody/nothing") == model_size("ground:base") == 0
    (tmp_path / "m" / "config.json").write_text("{")
    assert model_size(str(tmp_path / "m")) == 0


def test_a_nested_configuration_is_read(tmp_path):
    whole = model_size(str(folder_of(tmp_path / "m")))
    nested = {"model_type": "other", "tie_word_embeddings": True, "text_config": {**LARGE, **HEADS}}
    (tmp_path / "m" / "config.json").write_text(json.dumps(nested))
    assert model_size(str(tmp_path / "m")) == whole > 100_000_000


def recipe_of(folder, **given):
    given = {"model": str(folder), "data": "new.jsonl", **given}
    return RunSpec.from_dict(given).recipe


def test_a_real_model_trains_an_adapter_that_rehearses_its_own_answers_unless_a_recipe_is_named(tmp_path):
    folder = folder_of(tmp_path / "m")
    held = recipe_of(folder)
    assert held.startswith("Train(lr=0.00")
    assert held.endswith(" + Holdfast(adapter=True, prompts=True)")
    assert parse(held).methods
    assert recipe_of(folder, memory=["old=o.jsonl"]).endswith("Holdfast(memory='old', adapter=True, prompts=True)")
    assert recipe_of(folder, recipe="Holdfast(adapter=True)") == "Holdfast(adapter=True)"
    assert recipe_of(folder_of(tmp_path / "small", num_hidden_layers=2, vocab_size=999)) == "Holdfast()"
    assert recipe_of(folder_of(tmp_path / "plain", template=False)) == held


def test_an_adapter_of_a_real_model_trains_on(tmp_path):
    base, adapter = folder_of(tmp_path / "m"), tmp_path / "a"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    assert model_size(str(adapter)) == model_size(str(base))
    assert recipe_of(adapter).endswith(" + Holdfast(prompts=True)")
