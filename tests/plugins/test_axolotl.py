"""The plug-in for axolotl: its keys are checked with the config, and the recipe is at work in its trainer."""

from __future__ import annotations

import copy
import sys

import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.train.attach import Attached
from tests import tiny
from tests.plugins import stand_ins
from tests.train.retrace import trainer_for

DATA = tiny.rows(16)


@pytest.fixture
def trainer_class(monkeypatch):
    yield stand_ins.axolotl(monkeypatch)
    sys.modules.pop("holdfast.plugins.axolotl", None)  # it was imported with the stand-in


def attached(kind, folder, values, **changes):
    plugin = stand_ins.loaded("holdfast.plugins.axolotl.HoldfastPlugin")()
    trainer = trainer_for(tiny.tiny(dtype=torch.float32), folder, DATA, trainer_class=kind, **changes)
    plugin.post_trainer_create(stand_ins.checked(plugin, {"holdfast": values}), trainer)
    return trainer


def test_the_block_of_the_config_is_attached(trainer_class, tmp_path):
    old = tmp_path / "old.txt"
    old.write_text("".join(f"t{n} t{n + 1} t{n + 2}\n\n" for n in range(10, 30)))
    block = {"recipe": "MaskTheTarget()", "budget": {"nll": 0.5, "on_spent": "log", "every": 1}, "keep": [str(old)]}
    trainer = trainer_for(tiny.tiny(dtype=torch.float32), tmp_path, DATA, trainer_class=trainer_class)
    trainer.processing_class = tiny.tokenizer()
    plugin = stand_ins.loaded("holdfast.plugins.axolotl.HoldfastPlugin")()
    plugin.post_trainer_create(stand_ins.checked(plugin, {"holdfast": block}), trainer)
    trainer.train()
    assert isinstance(trainer, Attached)
    assert repr(trainer.holdfast_recipe) == "MaskTheTarget()"
    assert len(trainer.holdfast_guard.looks) == trainer.state.global_step == 2


def test_a_penalty_of_no_strength_ends_at_the_weights_of_axolotl_alone(trainer_class, tmp_path):
    ends = []
    for recipe in (None, "MaskTheTarget(strength=1e-12)", "MaskTheTarget(strength=5)"):
        if recipe is None:
            trainer = trainer_for(tiny.tiny(dtype=torch.float32), tmp_path, DATA, trainer_class=trainer_class, micro=4)
        else:
            trainer = attached(trainer_class, tmp_path, {"recipe": recipe}, micro=4)
        trainer.train()
        ends.append(copy.deepcopy(trainer.model.state_dict()))
    for name, plain in ends[0].items():
        torch.testing.assert_close(ends[1][name], plain, atol=2e-6, rtol=1e-4)
    assert any(not torch.allclose(ends[2][name], plain, atol=1e-4) for name, plain in ends[0].items())


def test_old_examples_stand_among_the_rows(trainer_class, tmp_path):
    old = tmp_path / "old.txt"
    old.write_text("".join(f"t{n} t{n + 1} t{n + 2}\n\n" for n in range(10, 30)))
    plugin = stand_ins.loaded("holdfast.plugins.axolotl.HoldfastPlugin")()
    trainer = trainer_for(tiny.tiny(dtype=torch.float32), tmp_path, DATA, trainer_class=trainer_class)
    trainer.processing_class = tiny.tokenizer()
    plugin.post_trainer_create(stand_ins.Config(holdfast={"recipe": f"Rehearsal({str(old)!r}, ratio=0.3)"}), trainer)
    trainer.train()
    assert trainer.holdfast_mix is not None
    assert len(trainer.train_dataset) > len(DATA)


@pytest.mark.parametrize(
    ("recipe", "max_steps", "steps"),
    [
        ("MaskTheTarget()", -1, {2}),
        ("MaskTheTarget() + Train(epochs=2)", -1, {4}),
        ("Rehearsal({old!r}, ratio=0.5)", -1, {4, 5, 6}),
        ("Rehearsal({old!r}, ratio=0.5)", 3, {3}),
    ],
    ids=["same", "epochs", "old", "given"],
)
def test_the_steps_are_counted_anew_if_the_block_adds_rows(trainer_class, tmp_path, recipe, max_steps, steps):
    old = tmp_path / "old.txt"
    old.write_text("".join(" ".join(f"t{n + i}" for i in range(6)) + "\n\n" for n in range(4, 34)))
    block = stand_ins.Config(recipe=recipe.format(old=str(old)))
    kind, plugin = trainer_class, stand_ins.loaded("holdfast.plugins.axolotl.HoldfastPlugin")()
    trainer = trainer_for(tiny.tiny(dtype=torch.float32), tmp_path, DATA, trainer_class=kind, max_steps=max_steps)
    trainer.processing_class = tiny.tokenizer()
    given = {"max_steps": max_steps} if max_steps > 0 else {}
    plugin.post_trainer_create(stand_ins.Config(holdfast=block, **given), trainer)
    trainer.train()
    assert trainer.state.global_step in steps


@pytest.mark.parametrize(
    ("name", "recipe", "says"),
    [
        ("orpo_alpha", "MaskTheTarget()", "computes its own"),
        ("sample_packing", "Rehearsal('old.jsonl')", "has its own _get_train_sampler"),
    ],
)
def test_a_setting_with_another_loss_or_order_is_refused_by_name(trainer_class, tmp_path, name, recipe, says):
    plugin = stand_ins.loaded("holdfast.plugins.axolotl.HoldfastPlugin")()
    (tmp_path / "old.jsonl").write_text('{"text": "t4 t5"}\n')
    recipe = recipe.replace("old.jsonl", str(tmp_path / "old.jsonl"))
    trainer = trainer_for(tiny.tiny(dtype=torch.float32), tmp_path, DATA, trainer_class=trainer_class)
    trainer.processing_class = tiny.tokenizer()
    setattr(trainer.args, name, True)
    trainer.args.max_steps = 7
    with pytest.raises(HoldfastError, match=says):
        plugin.post_trainer_create(stand_ins.Config(holdfast={"recipe": recipe}), trainer)
    assert trainer.args.max_steps == 7


@pytest.mark.parametrize(
    ("block", "says"),
    [
        (None, "has no block holdfast"),
        ({"keep": ["general"]}, "nothing to attach"),
        ({"recipe": "MaskTarget()"}, "Did you mean 'MaskTheTarget'"),
        ({"recipe": "auto", "budget": {"point": 2}}, "point"),
        ({"receipt": "MaskTheTarget()"}, "Unknown key 'receipt' in the block holdfast. Did you mean 'recipe'"),
        ({"recipe": "auto"}, "^recipe: auto holds a run inside a budget, and there is none"),
        ({"recipe": "MoFO()", "keep": ["general"]}, "^keep: is for the guard of a budget"),
        ({"recipe": "MoFO()", "learn": "new.jsonl"}, "^learn: is for the guard of a budget"),
    ],
    ids=["none", "nothing", "method", "budget", "key", "auto", "keep", "learn"],
)
def test_a_mistake_in_the_block_ends_before_a_model_is_loaded(trainer_class, block, says):
    plugin = stand_ins.loaded("holdfast.plugins.axolotl.HoldfastPlugin")()
    with pytest.raises(HoldfastError, match=says):
        stand_ins.checked(plugin, {"holdfast": block})


def test_a_config_that_lacks_the_block_ends_before_a_model_is_loaded(trainer_class):
    plugin = stand_ins.loaded("holdfast.plugins.axolotl.HoldfastPlugin")()
    with pytest.raises(HoldfastError, match="has no block holdfast"):
        stand_ins.checked(plugin, {})
