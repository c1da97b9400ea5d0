"""Which adapters act and which train, whatever they are called, and what weights they make."""

from __future__ import annotations

import peft
import pytest
import torch

from holdfast.core import adapters
from tests import tiny

IDS = torch.arange(5, 25)[None]


def config(**changes):
    return peft.LoraConfig(
        r=2, lora_alpha=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False, task_type="CAUSAL_LM",
        **changes,
    )  # fmt: skip


def of_two(first="default", second="second", *, active="second", **changes):
    """A model with two adapters that are not zero, of which one is active."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = peft.get_peft_model(tiny.tiny(dtype=torch.float64), config(**changes), adapter_name=first)
        model.add_adapter(second, config(**changes))
    model.set_adapter(active)
    return model.double()


def made(layer, *names):
    """B A of adapters of a layer, scaled, by plain arithmetic."""
    return sum(layer.scaling[n] * layer.lora_B[n].weight @ layer.lora_A[n].weight for n in names)


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


@pytest.mark.parametrize("name", ["second", "zebra", "weight", "lora_A", "default"])
def test_the_one_that_acts_is_found_by_any_name(name):
    model = of_two("older" if name == "default" else "default", name, active=name)
    assert adapters.acting_adapters(model) == adapters.trained_adapters(model) == [name]
    assert adapters.idle_adapters(model) == ["older" if name == "default" else "default"]


def test_an_adapter_that_is_active_and_frozen_acts_and_does_not_train():
    model = of_two()
    model.base_model.set_adapter(["default", "second"])
    for parameter_name, p in model.named_parameters():
        p.requires_grad = ".second." in parameter_name
    assert adapters.acting_adapters(model) == ["default", "second"]
    assert adapters.trained_adapters(model) == ["second"]
    assert adapters.idle_adapters(model) == []


def test_one_that_was_switched_off_does_not_act():
    model = of_two()
    with model.disable_adapter():
        assert adapters.acting_adapters(model) == []
    assert adapters.acting_adapters(tiny.tiny()) == adapters.idle_adapters(tiny.tiny()) == []


def test_the_weight_that_is_made_holds_what_acts_and_the_base_keeps_its_bits():
    model = of_two()
    model.base_model.set_adapter(["default", "second"])
    for one in adapters.adapted(model):
        layer, base = one.layers[0], one.param.detach().clone()
        assert torch.allclose(one.tuned(), base + made(layer, "default", "second"), atol=1e-12)
        assert torch.allclose(one.tuned(["second"]), base + made(layer, "default"), atol=1e-12)
        assert torch.equal(one.tuned(["default", "second"]), base)
        assert torch.equal(one.param, base)


def test_a_layer_that_only_an_idle_adapter_changes_is_not_among_the_adapted():
    model = of_two()
    model.add_adapter("third", peft.LoraConfig(r=2, target_modules=["k_proj"], task_type="CAUSAL_LM"))
    model.set_adapter("third")
    assert {one.name.split(".")[-2] for one in adapters.adapted(model)} == {"k_proj"}


def test_off_for_a_block_all_but_those_that_stay():
    model = of_two()
    both = ["default", "second"]
    model.base_model.set_adapter(both)
    with_both = logits(model)
    with adapters.adapters_off(model, staying=["default"]):
        only_first = logits(model)
    with adapters.adapters_off(model):
        base = logits(model)
    assert torch.equal(logits(model), with_both)
    model.set_adapter("default")
    assert torch.equal(logits(model), only_first)
    with model.disable_adapter():
        assert torch.equal(logits(model), base)
    assert not torch.allclose(only_first, base)


def test_copies_that_are_trained_belong_to_their_own_adapter():
    model = of_two(modules_to_save=["lm_head"])
    (copies,) = [m for m in adapters.tuner_layers(model) if hasattr(m, "modules_to_save")]
    held = adapters.held_by(copies)
    assert {name: [id(p) for p in params] for name, params in held.items()} == {
        name: [id(copies.modules_to_save[name].weight)] for name in ("default", "second")
    }
    assert adapters.acting_in(copies) == ["second"]


def test_the_configurations_are_those_of_what_is_active():
    model = of_two()
    model.peft_config["default"].init_lora_weights = "pissa"
    assert adapters.active_configs(model) == [model.peft_config["second"]]
    prompts = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    assert adapters.active_configs(peft.get_peft_model(tiny.tiny(), prompts)) == [prompts]
    assert adapters.active_configs(tiny.tiny()) == []
