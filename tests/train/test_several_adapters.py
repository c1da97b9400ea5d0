"""A model with several adapters: what trains is edited, judged and shipped, and the others keep their bits."""

from __future__ import annotations

import copy

import peft
import pytest
import torch
import transformers

from holdfast.core.adapters import held_by, tuner_layers
from holdfast.core.errors import HoldfastError
from holdfast.train.attach import attach
from holdfast.train.base import make_teacher
from tests import tiny
from tests.core.test_adapters import IDS, config, logits, made, of_two
from tests.train.retrace import trainer_for


def fresh(name="second", older="default", **changes):
    """A model that keeps an older adapter, and the one that is to be trained, which adds nothing yet."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = peft.get_peft_model(tiny.tiny(dtype=torch.float32), config(**changes), adapter_name=older)
        made_now = config(**changes)
        made_now.init_lora_weights = True
        model.add_adapter(name, made_now)
    model.set_adapter(name)
    return model


def train(folder, model, recipe):
    trainer = trainer_for(model, folder, tiny.rows(24), micro=8, learning_rate=0.5)
    if recipe is not None:
        attach(trainer, recipe)
    trainer.train()
    return trainer


def changes(model, *names):
    return [made(layer, *names).detach() for layer in tuner_layers(model) if hasattr(layer, "lora_A")]


def bits(model, name):
    return [p.detach().clone() for layer in tuner_layers(model) for p in held_by(layer).get(name, ())]


def same(one, other):
    return len(one) == len(other) > 0 and all(map(torch.equal, one, other))


NAMES = [("second", "default"), ("zebra", "ape"), ("default", "older"), ("weight", "lora_B")]


@pytest.mark.parametrize(("name", "older"), NAMES)
def test_the_change_of_what_trained_is_halved_and_the_older_one_keeps_its_bits(tmp_path, name, older):
    start = fresh(name, older)
    plain = train(tmp_path / "plain", copy.deepcopy(start), None).model
    half = train(tmp_path / "half", copy.deepcopy(start), "WiSEFT(alpha=0.5)").model
    for whole, halved in zip(changes(plain, name), changes(half, name), strict=True):
        assert whole.abs().max() > 1e-3
        assert torch.allclose(halved, whole / 2, atol=1e-6)
    assert same(bits(start, older), bits(half, older))
    assert len(bits(half, older)) == 8


@pytest.mark.parametrize("edit", ["WiSEFT(alpha={})", "TaskVector(scale={})", "DARE(keep={})"])
def test_near_its_neutral_value_an_edit_meets_plain_training(tmp_path, edit):
    start = fresh()
    plain = train(tmp_path / "plain", copy.deepcopy(start), None)
    near = train(tmp_path / "near", copy.deepcopy(start), edit.format("0.999999"))
    assert (logits(plain.model) - logits(start)).abs().mean() > 1e-2
    assert torch.allclose(logits(plain.model), logits(near.model), atol=5e-3)


@pytest.mark.parametrize("recipe", ["WiSEFT(alpha=0.5)", "FAPM(keep=0.2)", "EMA(decay=0.5)", "BaseL2(strength=0.1)"])
def test_the_model_that_is_judged_is_the_one_that_ships(tmp_path, recipe):
    trainer = attach(trainer_for(fresh(), tmp_path, tiny.rows(24), micro=8, learning_rate=0.5), recipe)
    judged, ship = [], trainer.holdfast_host.ship

    def look():
        with trainer.as_shipped():
            judged.append(logits(trainer.model))
        ship()

    trainer.holdfast_host.ship = look
    trainer.train()
    assert torch.allclose(judged[0], logits(trainer.model), atol=1e-5)
    assert (judged[0] - logits(fresh())).abs().mean() > 1e-3


def test_the_base_is_the_model_without_what_trains_and_with_what_is_frozen_beside_it():
    model = of_two()
    model.base_model.set_adapter(["default", "second"])
    for name, p in model.named_parameters():
        p.requires_grad = ".second." in name
    with make_teacher(model).base(model):
        base = model(input_ids=IDS).logits
    model.set_adapter("default")
    assert torch.equal(base, logits(model))


def frozen_beside():
    model = fresh()
    model.base_model.set_adapter(["default", "second"])
    for name, p in model.named_parameters():
        p.requires_grad = ".second." in name
    return model


def test_what_is_frozen_and_active_belongs_to_what_an_edit_goes_back_to(tmp_path):
    start = frozen_beside()
    plain = train(tmp_path / "plain", copy.deepcopy(start), None).model
    half = train(tmp_path / "half", copy.deepcopy(start), "WiSEFT(alpha=0.5)").model
    for whole, halved in zip(changes(plain, "second"), changes(half, "second"), strict=True):
        assert torch.allclose(halved, whole / 2, atol=1e-6)
    assert same(bits(start, "default"), bits(half, "default"))


def test_merged_they_are_all_in_the_weights(tmp_path):
    start = frozen_beside()
    plain = train(tmp_path / "plain", copy.deepcopy(start), None).model
    merged = train(tmp_path / "merged", copy.deepcopy(start), "Train(ship='merged')").model
    assert not tuner_layers(merged)
    assert torch.allclose(logits(plain), logits(merged), atol=1e-4)


def test_two_that_train_at_once_cannot_be_edited_apart(tmp_path):
    model = fresh()
    model.base_model.set_adapter(["default", "second"])
    with pytest.raises(
        HoldfastError, match="cannot be split among the adapters 'default' and 'second', which are all active"
    ):
        attach(trainer_for(model, tmp_path, tiny.rows(8)), "WiSEFT()")
    trainer = train(tmp_path, model, "WiSEFT(alpha=0.5) + Train(ship='merged')")
    assert not tuner_layers(trainer.model)


def test_merging_is_refused_where_an_idle_adapter_would_be_lost(tmp_path):
    with pytest.raises(HoldfastError, match=r"does not use 'default', which would be lost; save and delete it first"):
        attach(trainer_for(fresh(), tmp_path, tiny.rows(8)), "Train(ship='merged')")
    model = fresh()
    model.delete_adapter("default")
    assert not tuner_layers(train(tmp_path, model, "Train(ship='merged')").model)


def test_an_idle_adapter_that_moved_base_weights_does_not_make_the_other_one_such(tmp_path):
    start = fresh()
    start.peft_config["default"].init_lora_weights = "pissa"
    trainer = train(tmp_path, start, "WiSEFT(alpha=0.5)")
    assert trainer.holdfast_shipped["rank"] == 2


def test_a_trained_copy_of_the_head_is_edited_under_its_own_adapter(tmp_path):
    start = fresh(modules_to_save=["lm_head"])
    plain = train(tmp_path / "plain", copy.deepcopy(start), None).model
    half = train(tmp_path / "half", copy.deepcopy(start), "WiSEFT(alpha=0.5)").model
    at = "base_model.model.lm_head.modules_to_save.{}.weight"
    was, whole, halved = (m.get_parameter(at.format("second")) for m in (start, plain, half))
    assert (whole - was).abs().max() > 1e-3
    assert torch.allclose(halved, (was + whole) / 2, atol=1e-6)
    assert torch.equal(half.get_parameter(at.format("default")), start.get_parameter(at.format("default")))


def test_what_transformers_put_on_is_edited_and_cannot_be_merged(tmp_path):
    def injected():
        model = tiny.tiny(dtype=torch.float32)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            model.add_adapter(peft.LoraConfig(r=2, target_modules=["q_proj"]), adapter_name="own")
        return model

    plain, half = train(tmp_path, injected(), None).model, train(tmp_path, injected(), "WiSEFT(alpha=0.5)").model
    for whole, halved in zip(changes(plain, "own"), changes(half, "own"), strict=True):
        assert torch.allclose(halved, whole / 2, atol=1e-6)
    with pytest.raises(
        HoldfastError, match=r"LlamaForCausalLM has no unload\(\) for that; put the adapter on with peft.get_peft_model"
    ):
        attach(trainer_for(injected(), tmp_path, tiny.rows(8)), "Train(ship='merged')")


def test_an_adapter_that_is_merged_already_is_refused(tmp_path):
    model = fresh()
    model.merge_adapter()
    with pytest.raises(HoldfastError, match=r"merged into its weights, where it does not train; .*unmerge_adapter"):
        attach(trainer_for(model, tmp_path, tiny.rows(8)), "WiSEFT()")


class _StopAt(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == 2


def test_a_run_of_the_second_adapter_is_resumed_as_that(tmp_path):
    start, settings = fresh(), {"micro": 8, "learning_rate": 0.5, "save_strategy": "steps", "save_steps": 1}
    ends = []
    for folder, stops in (("whole", (False,)), ("cut", (True, False))):
        for stop in stops:
            trainer = trainer_for(copy.deepcopy(start), tmp_path / folder, tiny.rows(24), **settings)
            attach(trainer, "WiSEFT(alpha=0.5) + BaseL2(strength=0.1)")
            if stop:
                trainer.add_callback(_StopAt())
            trainer.train(resume_from_checkpoint=len(stops) == 2 and not stop)
        ends.append(trainer.model)
    assert same(bits(ends[0], "second"), bits(ends[1], "second"))
    assert same(bits(start, "default"), bits(ends[1], "default"))
    assert not same(bits(start, "second"), bits(ends[1], "second"))
