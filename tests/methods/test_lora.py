"""The adapter that LoRA puts on a model."""

from __future__ import annotations

import copy

import peft
import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Run
from holdfast.core.mix import Mix
from holdfast.core.params import trainable
from holdfast.methods.selection.lora import LoRA
from tests.tiny import BACKBONES, collate, rows, tiny


def shaped(method, backbone="llama", seed=0, model=None):
    return method.shape_model(Run(model or tiny(backbone), Mix(()), seed, 0, None, None))


def layers(model):
    return {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}


def logits(model, batch):
    with torch.no_grad():
        return model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize(("alpha", "scale"), [(None, 2.0), (6.0, None), (0.0, 0.0)])
def test_rank_and_alpha_shape_every_layer_and_alpha_is_twice_the_rank_by_default(rank, alpha, scale):
    for layer in layers(shaped(LoRA(rank=rank, alpha=alpha))).values():
        assert layer.lora_A["default"].weight.shape == (rank, layer.in_features)
        assert layer.lora_B["default"].weight.shape == (layer.out_features, rank)
        assert layer.scaling["default"] == pytest.approx(alpha / rank if scale is None else scale)


def test_the_forward_is_the_formula():
    base = tiny()
    model = shaped(LoRA(rank=2, alpha=3.0), model=copy.deepcopy(base))
    with torch.no_grad():
        for p in trainable(model).values():
            p.add_(0.1 * torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(p.numel())))
    expected = copy.deepcopy(base)
    own = dict(expected.named_modules())
    for name, layer in layers(model).items():
        change = layer.lora_B["default"].weight @ layer.lora_A["default"].weight * (3.0 / 2)
        own[name.removeprefix("base_model.model.")].weight.data += change.detach()
    batch = collate(rows(3))
    torch.testing.assert_close(logits(model.eval(), batch), logits(expected.eval(), batch))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_by_default_every_linear_layer_but_the_head_is_adapted_and_nothing_else_trains(backbone):
    model = shaped(LoRA(rank=2), backbone)
    adapted = {name.removeprefix("base_model.model.") for name in layers(model)}
    kinds = ("Linear", "Conv1D")
    linear = {n for n, m in tiny(backbone).named_modules() if type(m).__name__ in kinds and n != "lm_head"}
    if backbone == "mixtral":  # the expert stacks and the router are adapted too, each under a wrapper
        assert linear < adapted
        assert all("mlp." in name for name in adapted - linear)
    else:
        assert adapted == linear
    assert all(".lora_A." in name or ".lora_B." in name for name in trainable(model))


def test_targets_choose_the_layers():
    model = shaped(LoRA(rank=2, targets="q_proj, v_proj"))
    assert {name.rsplit(".", 1)[-1] for name in layers(model)} == {"q_proj", "v_proj"}
    assert len(layers(model)) == 4


def test_dropout_acts_in_training_and_not_in_evaluation():
    model = shaped(LoRA(rank=2, dropout=0.5))
    assert all(layer.lora_dropout["default"].p == 0.5 for layer in layers(model).values())
    assert all(type(layer.lora_dropout["default"]) is torch.nn.Identity for layer in layers(shaped(LoRA())).values())
    with torch.no_grad():
        for p in trainable(model).values():
            p.fill_(0.1)
    batch = collate(rows(2))
    model.train()
    assert not torch.equal(logits(model, batch), logits(model, batch))
    model.eval()
    assert torch.equal(logits(model, batch), logits(model, batch))


def test_the_model_starts_as_it_was():
    base, batch = tiny().eval(), collate(rows(3))
    model = shaped(LoRA(rank=4), model=copy.deepcopy(base)).eval()
    assert torch.equal(logits(model, batch), logits(base, batch))


def test_the_seed_of_the_run_alone_decides_the_start_and_the_generator_is_left_alone():
    torch.manual_seed(123)
    before = torch.get_rng_state()
    one = shaped(LoRA(rank=4), seed=7)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    same, other = shaped(LoRA(rank=4), seed=7), shaped(LoRA(rank=4), seed=8)
    for name, p in trainable(one).items():
        assert torch.equal(p, trainable(same)[name])
        if "lora_A" in name:
            assert not torch.equal(p, trainable(other)[name])


def test_a_second_adapter_is_refused():
    with pytest.raises(HoldfastError, match=r"LoRA\(rank=2\): the model already carries an adapter; merge it first"):
        shaped(LoRA(rank=2), model=shaped(LoRA()))


@pytest.mark.parametrize(
    ("backbone", "some"),
    [("llama", ("q_proj", "down_proj", "lm_head")), ("phi3", ("qkv_proj",)), ("gpt2", ("c_attn", "c_fc", "lm_head"))],
)
def test_a_target_that_is_not_there_is_answered_with_the_names_of_the_linear_layers(backbone, some):
    with pytest.raises(HoldfastError, match=r"no module of \w+ ends in nope or nada; its linear layers are") as error:
        shaped(LoRA(targets="nope, nada"), backbone)
    assert all(name in str(error.value) for name in some)


@pytest.mark.parametrize("targets", ["", " , "])
def test_no_target_at_all_is_refused_when_it_is_written(targets):
    with pytest.raises(HoldfastError, match=r"LoRA\(\) needs targets"):
        LoRA(targets=targets)


def test_the_adapter_can_be_merged_and_saved_by_peft(tmp_path):
    base, batch = tiny().eval(), collate(rows(2))
    model = shaped(LoRA(rank=2), model=copy.deepcopy(base)).eval()
    with torch.no_grad():
        for p in trainable(model).values():
            p.add_(0.05)
    tuned = logits(model, batch)
    model.save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(copy.deepcopy(base), tmp_path).eval()
    torch.testing.assert_close(logits(again, batch), tuned)
    torch.testing.assert_close(logits(model.merge_and_unload(), batch), tuned)
