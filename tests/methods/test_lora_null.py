"""A low-rank change that old inputs hardly reach."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from holdfast.core.adapters import adapters_off, tuner_layers
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.methods.selection.lora import LoRA
from holdfast.methods.selection.lora_null import LoRANull, least_directions
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import trainer_for

OLD = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(1, seed=3, longest=8)]


def test_the_directions_are_the_least_of_the_authors_decomposition():
    x = np.random.default_rng(0).normal(size=(40, 7)) * np.arange(1, 8)
    u, _, _ = np.linalg.svd(x.T @ x / 40)
    found = least_directions(torch.as_tensor(x.T @ x / 40), 3).numpy()
    np.testing.assert_allclose(found.T @ found, u[:, -3:] @ u[:, -3:].T, atol=1e-9)
    np.testing.assert_allclose(found @ found.T, np.eye(3), atol=1e-9)
    wide = least_directions(torch.as_tensor(x.T @ x), 9)
    assert wide.shape == (9, 7)
    assert wide[7:].eq(0).all()


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_what_the_model_says_of_the_memory_stays_where_lora_changes_it(tmp_path, family):
    base, moved = tiny.tiny(family), {}
    ids = torch.tensor([OLD[0].input_ids])
    for method in (LoRANull("old", rank=2), LoRA(rank=2)):
        model = copy.deepcopy(base)
        trainer = trainer_for(model, tmp_path, tiny.rows(16), optim="adamw_torch", learning_rate=0.02)
        attach(trainer, method, memories={"old": OLD})
        trainer.train()
        with torch.no_grad():
            change = trainer.model.eval()(ids).logits - base.eval()(ids).logits
            moved[type(method)] = float(change.abs().max())
            other = torch.tensor([tiny.rows(4)[3]["input_ids"]])
            assert float((trainer.model(other).logits - base(other).logits).abs().max()) > 1e-2
            with adapters_off(trainer.model):
                assert torch.equal(trainer.model(ids).logits, base(ids).logits)
    assert moved[LoRANull] < 1e-9 < 1e-2 < moved[LoRA]


def test_only_the_second_factor_trains_and_peft_does_not_wake_the_first(tmp_path):
    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(8))
    attach(trainer, LoRANull("old", rank=2), memories={"old": OLD})
    with trainer.model.disable_adapter():
        pass
    trained = [name for name, p in trainer.model.named_parameters() if p.requires_grad]
    assert len(trained) == len(tuner_layers(trainer.model)) == 14
    assert all("lora_B" in name for name in trained)


def test_it_needs_a_memory_and_layers_whose_inputs_it_sees(tmp_path):
    with pytest.raises(HoldfastError, match="needs a memory of old examples"):
        LoRANull()
    model = tiny.tiny("mixtral")
    before = {name: p.clone() for name, p in model.named_parameters()}
    with pytest.raises(HoldfastError, match="give targets='attention'"):
        attach(trainer_for(model, tmp_path, tiny.rows(8)), LoRANull("old"), memories={"old": OLD})
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    attach(trainer_for(model, tmp_path, tiny.rows(8)), LoRANull("old", targets="attention"), memories={"old": OLD})
