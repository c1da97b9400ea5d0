"""The adapter that LoRA puts on a model."""

from __future__ import annotations

import copy

import numpy
import peft
import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Mix
from holdfast.core.params import trainable
from holdfast.core.run import Run
from holdfast.methods.selection.lora import LoRA, pissa
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
    with pytest.raises(HoldfastError, match=r"LoRA\(rank=2\): the model already has an adapter; merge it first"):
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


@pytest.mark.parametrize("rank", [1, 4])
def test_the_root_of_the_rank_may_divide_alpha(rank):
    for layer in layers(shaped(LoRA(rank=rank, alpha=6.0, scaling="root"))).values():
        assert layer.scaling["default"] == pytest.approx(6.0 / rank**0.5)


def by_peft(backbone, init, **settings):
    settings = {"r": 3, "lora_alpha": 6.0, "target_modules": "all-linear", "init_lora_weights": init, **settings}
    return peft.get_peft_model(tiny(backbone, dtype=torch.float32), peft.LoraConfig(**settings))


@pytest.mark.parametrize(("init", "backbone"), [("pissa", "llama"), ("pissa", "gpt2"), ("olora", "llama")])
def test_an_adapter_that_begins_with_a_part_of_the_weight_begins_as_it_does_in_peft(init, backbone):
    ours = layers(shaped(LoRA(rank=3, alpha=6.0, init=init), model=tiny(backbone, dtype=torch.float32)))
    theirs = layers(by_peft(backbone, init))
    assert ours.keys() == theirs.keys()
    for name, layer in ours.items():
        expected = theirs[name]
        torch.testing.assert_close(
            layer.get_base_layer().weight, expected.get_base_layer().weight, rtol=0, atol=2e-5, check_device=False
        )
        torch.testing.assert_close(
            layer.get_delta_weight("default"), expected.get_delta_weight("default"), rtol=0, atol=2e-5
        )


@pytest.mark.parametrize("init", ["pissa", "olora"])
@pytest.mark.parametrize("backbone", ["llama", "gpt2"])
@pytest.mark.parametrize("rank", [3, 40])
def test_what_the_adapter_begins_with_is_taken_from_the_frozen_weight(init, backbone, rank):
    base = dict(tiny(backbone).named_modules())
    for name, layer in layers(shaped(LoRA(rank=rank, init=init), backbone)).items():
        whole = layer.get_base_layer().weight + layer.get_delta_weight("default")
        torch.testing.assert_close(whole, base[name.removeprefix("base_model.model.")].weight, rtol=0, atol=1e-12)


def test_pissa_takes_the_principal_part():
    weight = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    b, a = pissa(weight, 2)
    u, s, v = numpy.linalg.svd(weight.numpy())
    torch.testing.assert_close(b @ a, torch.from_numpy(u[:, :2] @ numpy.diag(s[:2]) @ v[:2]))
    torch.testing.assert_close(b.T @ b, a @ a.T)  # the singular values are shared evenly


def test_orthogonal_factors_add_nothing_at_the_start_but_are_not_zero():
    for layer in layers(shaped(LoRA(rank=4, init="orthogonal"))).values():
        b, a = layer.lora_B["default"].weight, layer.lora_A["default"].weight
        assert float((b @ a).abs().max()) < 1e-15
        assert float(b.abs().max()) > 0.01 < float(a.abs().max())
        assert torch.linalg.matrix_rank(a) == 2
    with pytest.raises(HoldfastError, match="orthogonal factors need an even rank; take 4"):
        shaped(LoRA(rank=3, init="orthogonal"))


def test_what_begins_with_a_part_of_the_weight_is_not_for_stacked_experts_and_leaves_them_alone():
    model = tiny("mixtral")
    names = [name for name, _ in model.named_parameters()]
    with pytest.raises(
        HoldfastError, match="this init does not support the stacked experts of a mixture; give targets"
    ):
        shaped(LoRA(init="pissa"), model=model)
    assert [name for name, _ in model.named_parameters()] == names


def test_one_wrong_name_among_the_targets_is_named():
    with pytest.raises(HoldfastError, match="no module of LlamaForCausalLM ends in v_porj; its linear layers are"):
        shaped(LoRA(targets="q_proj,v_porj"))


def test_pissa_is_exact_however_wide_the_weight():
    """PEFT computes the frozen rest of a checkpoint anew, from all singular values."""
    weight = torch.randn(1100, 1056, generator=torch.Generator().manual_seed(0))
    b, a = pissa(weight, 4)
    u, s, v = torch.linalg.svd(weight, full_matrices=False)
    torch.testing.assert_close(b @ a, (u[:, :4] * s[:4]) @ v[:4], rtol=0, atol=1e-3)
