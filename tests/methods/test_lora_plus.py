"""The second factor of an adapter learns faster."""

from __future__ import annotations

import copy
import logging

import torch

from holdfast.core.params import trainable
from holdfast.methods.schedules.lora_plus import LoRAPlus, lora_plus
from holdfast.methods.selection.lora import LoRA
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import trainer_for

START = tiny.tiny()


def run(folder, recipe, **changes):
    trainer = attach(trainer_for(copy.deepcopy(START), folder, tiny.rows(8), **changes), recipe)
    trainer.train()
    return trainer


def test_only_b_is_named():
    names = ["m.q.lora_A.default.weight", "m.q.lora_B.default.weight", "e.lora_embedding_B.default", "m.norm.weight"]
    assert lora_plus(names, 4.0) == {names[1]: 4.0, names[2]: 4.0}


def test_the_first_step_of_sgd_moves_b_by_so_many_times_as_much(tmp_path):
    """At the start B is 0, so that A has no gradient and B moves alone."""
    plain, plus = (run(tmp_path, LoRA(rank=2) + LoRAPlus(times=times), max_steps=1) for times in (1.0, 8.0))
    other = trainable(plus.model)
    for name, p in trainable(plain.model).items():
        if "lora_B" in name:
            assert float(p.detach().abs().max()) > 0
            torch.testing.assert_close(other[name].detach(), 8.0 * p.detach(), rtol=1e-9, atol=1e-14)
        else:
            torch.testing.assert_close(other[name].detach(), p.detach())


def test_the_groups_have_the_rates_of_the_paper(tmp_path):
    trainer = run(tmp_path, LoRA(rank=2) + LoRAPlus(), learning_rate=0.01)
    names = {id(p): name for name, p in trainer.model.named_parameters()}
    for group in trainer.optimizer.param_groups:
        for p in group["params"]:
            assert group["lr"] == (0.16 if "lora_B" in names[id(p)] else 0.01)


def test_without_an_adapter_it_says_that_it_does_nothing(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "holdfast"):
        run(tmp_path, LoRAPlus(), max_steps=1)
    assert "does nothing here: no LoRA adapter is trained" in caplog.text
