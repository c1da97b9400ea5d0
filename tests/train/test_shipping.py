"""What is shipped: edited weights, whole or in an adapter."""

from __future__ import annotations

import copy
import dataclasses
from typing import ClassVar

import numpy as np
import peft
import pytest
import torch

from holdfast.core.adapters import adapted, low_rank, tuner_layers
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method, chain
from holdfast.core.params import trainable
from holdfast.core.teacher import evaluating
from holdfast.methods.edits.fapm import FAPM, fapm
from holdfast.methods.edits.wise_ft import WiSEFT
from holdfast.methods.schedules.train import Train
from holdfast.recipe import parse
from holdfast.train.attach import attach
from holdfast.train.shipping import Shipping
from tests import tiny
from tests.train.retrace import trainer_for

BATCH = tiny.collate(tiny.rows(4, seed=9))


@dataclasses.dataclass(frozen=True, repr=False)
class Halves(Method):
    """Halves the change of each trained parameter, those of an adapter too."""

    on_parameters: ClassVar[bool] = True

    def edit_weights(self, state, name, base, tuned):
        return (base + tuned) / 2


def wrapped(backbone="llama", dtype=torch.float64, **config):
    """A model with an adapter that has been trained, the model without it, and the layers' own change."""
    base = tiny.tiny(backbone, dtype=dtype)
    model = peft.get_peft_model(
        copy.deepcopy(base), peft.LoraConfig(**{"r": 3, "target_modules": "all-linear", **config})
    )
    return base, model


def nudge(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in trainable(model).values():
            p.add_(0.2 * torch.randn(p.shape, dtype=p.dtype, generator=generator))


def logits(model):
    with evaluating(model):
        return model(input_ids=BATCH["input_ids"], attention_mask=BATCH["attention_mask"]).logits


def weights(model):
    return dict(model.named_parameters())


@pytest.mark.parametrize("config", [{}, {"use_dora": True}, {"use_rslora": True}], ids=str)
@pytest.mark.parametrize("backbone", tiny.BACKBONES)
def test_the_weights_that_an_adapter_makes_are_read_and_the_base_keeps_its_bits(backbone, config):
    if backbone == "mixtral" and "use_dora" in config:
        pytest.skip("PEFT has no DoRA on stacks of experts")
    base, model = wrapped(backbone, **config)
    nudge(model)
    before = copy.deepcopy(model.state_dict())
    found = adapted(model)
    assert {one.name for one in found} <= set(weights(base))
    assert len(found) >= 8
    plain = copy.deepcopy(base)
    for one in found:
        weights(plain)[one.name].data = one.tuned().clone()
    torch.testing.assert_close(logits(model), logits(plain), rtol=0, atol=1e-5)
    assert (logits(model) - logits(base)).abs().max() > 1e-3
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(layer.merged for one in found for layer in one.layers)


@pytest.mark.parametrize("rank", [1, 3, 9])
def test_the_nearest_change_of_a_rank_is_that_of_numpy(rank):
    change = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    b, a = low_rank(change, rank)
    u, s, v = np.linalg.svd(change.numpy(), full_matrices=False)
    np.testing.assert_allclose((b @ a).numpy(), (u[:, :rank] * s[:rank]) @ v[:rank], atol=1e-12)
    assert (b.shape, a.shape) == ((7, rank), (rank, 5))


def test_beyond_a_size_the_nearest_change_is_found_by_projection_and_draws_nothing(monkeypatch):
    monkeypatch.setattr("holdfast.core.adapters.EXACT", 4)
    generator = torch.Generator().manual_seed(1)
    change = torch.randn(60, 3, generator=generator, dtype=torch.float64) @ torch.randn(
        3, 50, generator=generator, dtype=torch.float64
    )
    before = torch.get_rng_state()
    b, a = low_rank(change, 3)
    assert torch.equal(before, torch.get_rng_state())
    torch.testing.assert_close(b @ a, change, rtol=0, atol=1e-10)


@pytest.mark.parametrize("backbone", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("form", ["adapter", "merged"])
def test_going_back_half_way_is_exact_in_both_forms(backbone, form):
    base, model = wrapped(backbone, use_rslora=True)
    shipping = Shipping(model, chain(WiSEFT(alpha=0.3)), form)
    nudge(model)
    expected = copy.deepcopy(base)
    for one in adapted(model):
        own = weights(expected)[one.name]
        own.data = own.data + 0.3 * (one.tuned() - own.data)
    seen = logits_of(shipping, model)
    shipped, report = shipping.ship({})
    torch.testing.assert_close(logits(shipped), logits(expected), rtol=0, atol=1e-5)
    torch.testing.assert_close(seen, logits(shipped), rtol=0, atol=1e-5)
    if form == "merged":
        assert not tuner_layers(shipped)
        assert type(shipped) is type(base)
        assert report == {}
        for name, p in weights(shipped).items():
            torch.testing.assert_close(p, weights(expected)[name], rtol=0, atol=1e-12)
    else:
        assert report["rank"] == 3
        assert report["error"] < 1e-12


def logits_of(shipping, model, state=None):
    with shipping.as_shipped(state or {}):
        return logits(model)


def test_what_an_adapter_cannot_hold_is_left_out_as_little_as_can_be_and_said(caplog):
    base, model = wrapped()
    shipping = Shipping(model, chain(FAPM(keep=0.2)))
    nudge(model)
    before, whole, left = logits(model), 0.0, 0.0
    expected = copy.deepcopy(base)
    for one in adapted(model):
        own = weights(expected)[one.name]
        change = (fapm(own.data, one.tuned(), 0.2) - own.data).numpy()
        u, s, v = np.linalg.svd(change, full_matrices=False)
        whole, left = whole + (s**2).sum(), left + (s[3:] ** 2).sum()
        own.data += torch.tensor((u[:, :3] * s[:3]) @ v[:3])
    seen = logits_of(shipping, model)
    torch.testing.assert_close(logits(model), before, rtol=0, atol=0.0)
    shipped, report = shipping.ship({})
    assert report["error"] == pytest.approx((left / whole) ** 0.5, rel=1e-9)
    assert report["error"] > 0.1
    assert f"with a relative error of {100 * report['error']:.1f}%" in caplog.text
    torch.testing.assert_close(logits(shipped), logits(expected), rtol=0, atol=1e-5)
    torch.testing.assert_close(seen, logits(shipped), rtol=0, atol=1e-5)


def test_merged_all_that_an_edit_keeps_is_shipped():
    base, model = wrapped("mixtral")
    shipping = Shipping(model, chain(FAPM(keep=0.2)), "merged")
    nudge(model)
    expected = {one.name: fapm(weights(base)[one.name].data, one.tuned(), 0.2) for one in adapted(model)}
    shipped, _ = shipping.ship({})
    for name, p in weights(shipped).items():
        torch.testing.assert_close(p.data, expected.get(name, weights(base)[name].data), rtol=0, atol=0)


@pytest.mark.parametrize("form", ["adapter", "merged"])
def test_edits_of_the_parameters_come_before_those_of_the_weights_they_make(form):
    base, model = wrapped()
    shipping = Shipping(model, chain(Halves(), WiSEFT(alpha=0.5)), form)
    start = {name: p.detach().clone() for name, p in trainable(model).items()}
    nudge(model)
    half = copy.deepcopy(model)
    for name, p in trainable(half).items():
        p.data = (p.data + start[name]) / 2
    expected = {one.name: (weights(base)[one.name].data + one.tuned()) / 2 for one in adapted(half)}
    seen = logits_of(shipping, model)
    shipped, _ = shipping.ship({})
    found = {one.name: one.tuned() for one in adapted(shipped)} or weights(shipped)
    for name, weight in expected.items():
        torch.testing.assert_close(found[name].data, weight, rtol=0, atol=1e-12)
    torch.testing.assert_close(seen, logits(shipped), rtol=0, atol=1e-5)


def test_edits_of_the_parameters_alone_suit_any_adapter():
    _, model = wrapped(use_dora=True)
    shipping = Shipping(model, chain(Halves()))
    start = {name: p.detach().clone() for name, p in trainable(model).items()}
    nudge(model)
    after = {name: p.detach().clone() for name, p in trainable(model).items()}
    seen = logits_of(shipping, model)
    shipped, report = shipping.ship({})
    assert report == {}
    for name, p in trainable(shipped).items():
        torch.testing.assert_close(p.data, (start[name] + after[name]) / 2, rtol=0, atol=1e-15)
    assert torch.equal(seen, logits(shipped))


@pytest.mark.parametrize("init", ["pissa", "olora"])
@pytest.mark.parametrize("recipe", ["", "WiSEFT(alpha=0.5)"])
@pytest.mark.parametrize("form", ["adapter", "merged"])
def test_an_adapter_that_moved_weights_is_shipped_as_a_plain_one_on_the_base_as_it_was(tmp_path, init, recipe, form):
    base, model = wrapped(dtype=torch.float32, init_lora_weights=init)
    assert any(not torch.equal(one.param.data, weights(base)[one.name].data) for one in adapted(model))
    shipping = Shipping(model, parse(recipe) if recipe else chain(), form)
    nudge(model)
    alpha = 0.5 if recipe else 1.0
    expected = {one.name: torch.lerp(weights(base)[one.name].data, one.tuned(), alpha) for one in adapted(model)}
    shipped, report = shipping.ship({})
    found = {one.name: one.tuned() for one in adapted(shipped)} or weights(shipped)
    for name, weight in expected.items():
        torch.testing.assert_close(found[name].data, weight, rtol=0, atol=2e-5)
    if form == "adapter":
        assert report["rank"] == 6
        assert report["error"] < 1e-4
        shipped.save_pretrained(tmp_path)
        loaded = peft.PeftModel.from_pretrained(copy.deepcopy(base), tmp_path)
        torch.testing.assert_close(logits(loaded), logits(shipped), rtol=0, atol=1e-3)
        assert loaded.peft_config["default"].init_lora_weights is True
        assert loaded.peft_config["default"].r == 6


def test_what_was_trained_beside_the_adapter_is_shipped_with_it():
    base, model = wrapped(modules_to_save=["lm_head"])
    shipping = Shipping(model, chain(WiSEFT(alpha=0.5)), "merged")
    nudge(model)
    head = next(p for name, p in trainable(model).items() if "lm_head" in name).detach().clone()
    seen = logits_of(shipping, model)
    shipped, _ = shipping.ship({})
    torch.testing.assert_close(shipped.lm_head.weight.data, (head + base.lm_head.weight.data) / 2, rtol=0, atol=1e-12)
    torch.testing.assert_close(seen, logits(shipped), rtol=0, atol=1e-5)


def test_without_edits_an_adapter_is_shipped_as_it_is():
    _, model = wrapped()
    nudge(model)
    before = copy.deepcopy(model.state_dict())
    shipped, report = Shipping(model, chain()).ship({})
    assert shipped is model
    assert report == {}
    assert all(torch.equal(tensor, before[name]) for name, tensor in shipped.state_dict().items())


def test_an_adapter_that_cannot_hold_whole_weights_is_refused_before_training():
    for config in ({"use_dora": True}, {"target_modules": ["embed_tokens"]}):
        _, model = wrapped(**config)
        with pytest.raises(HoldfastError, match=r"this kind of adapter cannot represent them; add Train"):
            Shipping(model, chain(WiSEFT()))
        Shipping(model, chain(WiSEFT()), "merged")


def test_a_trainer_ships_what_its_recipe_says(tmp_path):
    start = tiny.tiny(dtype=torch.float32)
    recipe = "LoRA(rank=2) + WiSEFT(alpha=0.5)"
    found = {}
    for ship in ("adapter", "merged"):
        trainer = trainer_for(copy.deepcopy(start), tmp_path, tiny.rows(16), optim="adamw_torch", learning_rate=0.02)
        attach(trainer, Train(ship=ship) + parse(recipe)).train()
        found[ship] = trainer
    assert isinstance(found["adapter"].model, peft.PeftModel)
    assert not isinstance(found["merged"].model, peft.PeftModel)
    assert found["adapter"].holdfast_shipped["error"] < 1e-5
    torch.testing.assert_close(logits(found["adapter"].model), logits(found["merged"].model), rtol=0, atol=1e-5)
    assert (logits(found["merged"].model) - logits(start)).abs().max() > 1e-3
    found["merged"].save_model(str(tmp_path / "whole"))
    assert not (tmp_path / "whole" / "adapter_config.json").exists()


@dataclasses.dataclass(frozen=True, repr=False)
class Notes(Method):
    """Writes down the name of every weight that it is given, and stops at one of them."""

    seen: list[str] = dataclasses.field(default_factory=list)
    stop: str = ""

    def edit_weights(self, state, name, base, tuned):
        self.seen.append(name)
        if self.stop and self.stop in name:
            raise RuntimeError("no more")
        return (base + tuned) / 2


@pytest.mark.parametrize("form", ["adapter", "merged"])
def test_a_change_finer_than_the_bases_bits_is_edited_as_it_is(form):
    base, model = wrapped(dtype=torch.bfloat16)
    with torch.no_grad():
        for name, p in trainable(model).items():
            if "lora_B" in name:
                p.normal_(0, 1e-5, generator=torch.Generator().manual_seed(1))
    before = {one.name: one.tuned() - one.param.float() for one in adapted(model)}
    assert all(tensor.dtype == torch.float32 for tensor in before.values())
    shipping = Shipping(model, chain(WiSEFT(alpha=0.5)), form)
    shipped, _ = shipping.ship({})
    if form == "merged":
        assert all(p.dtype == torch.bfloat16 for p in shipped.parameters())
        return
    for one in adapted(shipped):
        held = one.tuned() - one.param.float()
        left = float((held - before[one.name] / 2).norm() / before[one.name].norm())
        assert left < 0.05, one.name
        assert torch.equal(one.param.data, weights(base)[one.name].data)


def test_weights_that_two_layers_share_and_an_adapter_changes_in_one_are_refused():
    _, model = wrapped("gpt2", target_modules=["lm_head"])
    with pytest.raises(
        HoldfastError, match=r"two layers share .*, but the adapter changes only one of them; leave that"
    ):
        Shipping(model, chain(WiSEFT()), "merged")
    Shipping(model, chain())
    _, model = wrapped("gpt2", target_modules=["c_attn"])
    Shipping(model, chain(WiSEFT()), "merged")


def test_a_decomposed_adapter_that_moved_weights_is_refused_with_its_own_reason():
    _, model = wrapped(dtype=torch.float32, init_lora_weights="pissa", use_dora=True)
    with pytest.raises(HoldfastError, match="ships an adapter that moved weights as a plain one, and this kind"):
        Shipping(model, chain())


@pytest.mark.parametrize("form", ["adapter", "merged"])
def test_an_edit_that_fails_half_way_leaves_the_model_as_it_was(form):
    _, model = wrapped()
    shipping = Shipping(model, chain(Notes(stop="layers.1.mlp.down_proj")), form)
    nudge(model)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError, match="no more"):
        shipping.ship({})
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert tuner_layers(model)


def test_edits_know_weights_by_the_names_they_have_without_an_adapter():
    base, model = wrapped(modules_to_save=["lm_head"], target_modules=["q_proj"])
    notes = Notes()
    shipping = Shipping(model, chain(notes), "merged")
    nudge(model)
    shipping.ship({})
    assert {"lm_head.weight", "model.layers.0.self_attn.q_proj.weight"} <= set(notes.seen) <= set(weights(base))
    assert len(set(notes.seen)) == 3


def test_ranks_of_single_layers_are_doubled_with_their_scale(tmp_path):
    base, model = wrapped(
        dtype=torch.float32,
        init_lora_weights="pissa",
        target_modules=["q_proj", "up_proj"],
        rank_pattern={"up_proj": 5},
        alpha_pattern={"up_proj": 40},
    )
    shipping = Shipping(model, chain())
    nudge(model)
    expected = {one.name: one.tuned() for one in adapted(model)}
    seen = logits_of(shipping, model)
    shipped, report = shipping.ship({})
    assert report["rank"] == 6
    torch.testing.assert_close(seen, logits(shipped), rtol=0, atol=1e-3)
    shipped.save_pretrained(tmp_path)
    loaded = peft.PeftModel.from_pretrained(copy.deepcopy(base), tmp_path)
    for one in adapted(loaded):
        torch.testing.assert_close(one.tuned(), expected[one.name], rtol=0, atol=2e-5)
    ranks = {one.name.split(".")[-2]: one.layers[0].r["default"] for one in adapted(loaded)}
    assert ranks == {"q_proj": 6, "up_proj": 10}


@pytest.mark.parametrize("saved", ["lm_head", "embed_tokens"])
def test_merged_a_trained_copy_of_a_tied_weight_leaves_the_other_as_it_was(tmp_path, saved):
    base = tiny.tiny(dtype=torch.float32, tie_word_embeddings=True)
    model = peft.get_peft_model(
        base, peft.LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", modules_to_save=[saved])
    )
    nudge(model)
    expected = logits(model)
    shipped, _ = Shipping(model, chain(), "merged").ship({})
    torch.testing.assert_close(logits(shipped), expected, rtol=0, atol=1e-4)
    assert not shipped.config.tie_word_embeddings  # programs that read the folder go by it
    shipped.save_pretrained(tmp_path)
    again = type(shipped).from_pretrained(tmp_path, dtype=torch.float32)
    torch.testing.assert_close(logits(again), expected, rtol=0, atol=1e-4)


def biased():
    config = peft.LoraConfig(r=2, lora_bias=True, target_modules=["q_proj"], task_type="CAUSAL_LM")
    return peft.get_peft_model(tiny.tiny("llama", attention_bias=True), config)


@pytest.mark.parametrize("recipe", ["WiSEFT(alpha=0.5)", "Train(ship='merged')", "WiSEFT() + Train(ship='merged')"])
def test_an_adapter_with_biases_is_refused_before_training_where_whole_weights_are_needed(tmp_path, recipe):
    with pytest.raises(HoldfastError, match="lora_bias=True"):
        attach(trainer_for(biased(), tmp_path, tiny.rows(4)), recipe)
