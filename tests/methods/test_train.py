"""Every setting of Train shows an effect through attach()."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.methods.schedules.train import Train
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import furthest, trainer_for

START = tiny.tiny()


def run(folder, recipe, *, model=None, count=16, **changes):
    trainer = trainer_for(copy.deepcopy(model or START), folder, tiny.rows(count), **changes)
    attach(trainer, recipe)
    trainer.train()
    return trainer


def test_what_is_not_given_stays_as_the_trainer_has_it(tmp_path):
    trainer = trainer_for(copy.deepcopy(START), tmp_path, tiny.rows(16), weight_decay=0.25, num_train_epochs=2)
    before = trainer.args.to_dict()
    attach(trainer, Train())
    assert trainer.args.to_dict() == before


def test_lr_is_the_rate_of_the_steps(tmp_path):
    one = run(tmp_path, "Train(lr=0.02)", max_steps=1)
    half = run(tmp_path, "Train(lr=0.01)", max_steps=1)
    assert one.state.log_history[0]["learning_rate"] == 0.02
    for (name, p), q in zip(one.model.named_parameters(), half.model.parameters(), strict=True):
        start = START.get_parameter(name)
        torch.testing.assert_close(p - start, 2 * (q - start), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(("epochs", "steps"), [(1, 2), (3, 6), (1.5, 3)])
def test_epochs_are_passes_and_may_be_fractional(tmp_path, epochs, steps):
    assert run(tmp_path, f"Train(epochs={epochs})").state.global_step == steps


@pytest.mark.parametrize(("batch", "steps"), [(2, 8), (4, 4), (16, 1)])
def test_batch_is_reached_by_accumulation(tmp_path, batch, steps):
    trainer = run(tmp_path, f"Train(batch={batch})", micro=2)
    assert trainer.args.gradient_accumulation_steps == batch // 2
    assert trainer.state.global_step == steps


def test_a_batch_that_the_micro_batch_does_not_divide_is_refused(tmp_path):
    with pytest.raises(HoldfastError, match=r"Train\(batch=6\) is not a multiple of 4, .*per_device_train_batch_size"):
        run(tmp_path, "Train(batch=6)", micro=4)


def test_weight_decay_pulls_the_weights_to_zero(tmp_path):
    plain = run(tmp_path, "Train(lr=0.1, weight_decay=0.0)", max_steps=1)
    decayed = run(tmp_path, "Train(lr=0.1, weight_decay=0.5)", max_steps=1)
    name = "model.layers.0.mlp.up_proj.weight"
    difference = plain.model.get_parameter(name) - decayed.model.get_parameter(name)
    torch.testing.assert_close(difference, 0.1 * 0.5 * START.get_parameter(name), rtol=1e-9, atol=1e-14)


def test_clip_bounds_the_step_and_zero_is_no_clipping(tmp_path):
    def moved(recipe):
        trainer = run(tmp_path, f"Train(lr=1.0{recipe})", max_steps=1)
        pairs = zip(trainer.model.parameters(), START.parameters(), strict=True)
        return math.sqrt(sum(float((p - q).detach().pow(2).sum()) for p, q in pairs)), trainer

    small, trainer = moved(", clip=0.01")
    assert small == pytest.approx(0.01, rel=1e-3)
    norm = trainer.state.log_history[0]["grad_norm"]
    assert norm > 1.0
    assert moved("")[0] == pytest.approx(1.0, rel=1e-3)  # the trainer's own, max_grad_norm=1
    assert moved(", clip=0.0")[0] == pytest.approx(norm, rel=1e-3)


@pytest.mark.parametrize(
    ("recipe", "form", "kept"),
    [
        ("LoRA(rank=2)", "adapters off", False),
        ("Train(teacher='copy') + LoRA(rank=2)", "copy", True),
        ("Train(teacher='cache') + LoRA(rank=2)", "cache", False),
        ("Train()", "copy", True),
        ("Train(teacher='cache')", "cache", True),
    ],
)
def test_teacher_chooses_the_form_of_the_base_and_every_form_gives_the_same_weights(tmp_path, recipe, form, kept):
    leash = "MaskTheTarget(strength=3.0)"
    trainer = run(tmp_path / "this", f"{recipe} + {leash}")
    assert trainer.holdfast_teacher.form == form
    assert bool(trainer.holdfast_teacher.values) is kept
    auto = run(tmp_path / "auto", f"{'LoRA(rank=2) + ' if 'LoRA' in recipe else ''}{leash}")
    assert furthest(trainer.model, auto.model) < 1e-12
    if form == "cache":
        assert trainer.holdfast.forward.comparison.cache.rows
        # Of the base only the head is kept, and only where it trains.
        assert all(value.shape == (tiny.VOCABULARY, 16) for value in trainer.holdfast_teacher.values.values())


def test_reference_chooses_what_the_base_is_when_training_goes_on_from_an_adapter(tmp_path):
    first = run(tmp_path, "LoRA(rank=2)", micro=4).model
    found = {}
    for reference in ("base", "start"):
        trainer = run(tmp_path, f"Train(reference='{reference}') + BaseKL(strength=5.0)", model=first, micro=4)
        found[reference] = trainer
    assert found["base"].holdfast_teacher.form == "adapters off"
    assert found["start"].holdfast_teacher.form == "start adapter"
    assert furthest(found["base"].model, found["start"].model) > 1e-6
