"""The plug-in for ms-swift: the file of `--external_plugins` makes its trainers attach what HOLDFAST says."""

from __future__ import annotations

import json

import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.plugins import ms_swift
from holdfast.train.attach import Attached
from tests import tiny
from tests.plugins import stand_ins
from tests.train.retrace import trainer_for

DATA = tiny.rows(16)


@pytest.fixture
def factory(monkeypatch):
    monkeypatch.delenv(ms_swift.VARIABLE, raising=False)
    return stand_ins.swift(monkeypatch)


def built(factory, folder, **changes):
    kind = factory.get_trainer_cls(None)
    return trainer_for(tiny.tiny(dtype=torch.float32), folder, DATA, trainer_class=kind, micro=4, **changes)


@pytest.mark.parametrize("write", [json.dumps, str], ids=["json", "python"])
def test_the_model_kwargs_are_attached(factory, monkeypatch, tmp_path, write):
    stand_ins.begins(monkeypatch, tmp_path, {"holdfast": write({"recipe": "MaskTheTarget()", "budget": {}})})
    trainer = built(factory, tmp_path)
    assert isinstance(trainer, Attached)
    assert repr(trainer.holdfast_recipe) == "MaskTheTarget()"
    assert type(trainer).__name__ == "AttachedHoldfastSeq2SeqTrainer"


def test_a_penalty_of_no_strength_ends_at_the_weights_of_ms_swift_alone(factory, monkeypatch, tmp_path):
    plain = built(factory, tmp_path)
    plain.args.use_logits_to_keep = False
    plain.train()
    ends = []
    for strength in (1e-12, 5):
        stand_ins.begins(monkeypatch, tmp_path, {"holdfast": {"recipe": f"MaskTheTarget(strength={strength})"}})
        trainer = built(factory, tmp_path)
        trainer.train()
        ends.append(trainer.model.state_dict())
    for name, value in plain.model.state_dict().items():
        torch.testing.assert_close(ends[0][name], value, atol=2e-6, rtol=1e-4)
    assert any(not torch.allclose(ends[1][name], ends[0][name], atol=1e-4) for name in ends[0])


def test_old_examples_come_through_the_loader_of_transformers(factory, monkeypatch, tmp_path):
    old = tmp_path / "old.jsonl"
    old.write_text("".join(json.dumps({"text": f"t{n} t{n + 1} t{n + 2}"}) + "\n" for n in range(10, 30)))
    recipe = f"Rehearsal({str(old)!r}, ratio=0.3)"
    stand_ins.begins(monkeypatch, tmp_path, {"holdfast": {"recipe": recipe}})
    kind = factory.get_trainer_cls(None)

    def with_tokenizer(**given):
        return kind(**given, processing_class=tiny.tokenizer())

    made = trainer_for(tiny.tiny(dtype=torch.float32), tmp_path, DATA, trainer_class=with_tokenizer)
    made.train()
    assert len(made.train_dataset) > len(DATA)


def test_registering_twice_attaches_once(factory, monkeypatch, tmp_path):
    for _ in range(2):
        stand_ins.begins(monkeypatch, tmp_path, {"holdfast": {"recipe": "Finch()"}})
    names = [cls.__name__ for cls in factory.get_trainer_cls(None).__mro__]
    assert names.count("WithHoldfast") == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "HOLDFAST is not set"),
        ("recipe", "is no mapping"),
        ("[1]", "is no mapping"),
        ('{"recipe": "MaskTarget()"}', "Did you mean 'MaskTheTarget'"),
        ('{"receipt": "MaskTheTarget()"}', "Unknown key 'receipt' in HOLDFAST"),
    ],
    ids=["none", "word", "list", "method", "key"],
)
def test_a_mistake_is_named(factory, monkeypatch, tmp_path, text, says):
    stand_ins.begins(monkeypatch, tmp_path, {})
    monkeypatch.setenv(ms_swift.VARIABLE, text)
    with pytest.raises(HoldfastError, match=says):
        built(factory, tmp_path)


@pytest.mark.parametrize("name", ["enable_dft_loss", "packing", "moe", "loss_scale"])
def test_a_setting_with_another_loss_is_refused(factory, monkeypatch, tmp_path, name):
    if name == "packing":
        monkeypatch.setattr(stand_ins.Template, "packing", True)
    if name == "loss_scale":
        monkeypatch.setattr(stand_ins.Template.loss_scale, "is_binary_loss_scale", False)
    plain = built(factory, tmp_path)
    plain.model_info.is_moe_model = name == "moe"
    plain.args.enable_dft_loss = name == "enable_dft_loss"
    assert "loss" not in ms_swift.known_parts(plain)


def test_a_trainer_of_another_task_is_not_known(factory, tmp_path):
    plain = built(factory, tmp_path)
    assert ms_swift.known_parts(plain) == {"loss", "order"}
    other = trainer_for(tiny.tiny(dtype=torch.float32), tmp_path, DATA, trainer_class=stand_ins.OwnLoss)
    assert ms_swift.known_parts(other) == set()
