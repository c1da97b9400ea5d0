"""What every method that edits weights promises beside an adapter, whichever way that is shipped."""

from __future__ import annotations

import copy

import numpy as np
import peft
import pytest
import torch
import transformers

from holdfast.core.adapters import adapted, tuner_layers
from holdfast.core.settings import settings_of
from holdfast.core.teacher import evaluating
from holdfast.methods.schedules.train import Train
from holdfast.methods.selection.lora import LoRA
from holdfast.methods.table import METHODS
from holdfast.train.attach import attach
from tests import tiny
from tests.contract.test_contract import sample
from tests.train.retrace import trainer_for

pytestmark = pytest.mark.matrix(2)

EDITS = [cls for cls in METHODS if cls.edit_weights is not METHODS[0].edit_weights]
BATCH = tiny.collate(tiny.rows(4, seed=9))
RANK = 2


def logits(model):
    with evaluating(model):
        return model(input_ids=BATCH["input_ids"], attention_mask=BATCH["attention_mask"]).logits


class _Look(transformers.TrainerCallback):
    """Notes, at the end and before anything is shipped, what the model would say if it were."""

    def on_train_end(self, args, state, control, **kwargs):
        with self.trainer.as_shipped():
            self.seen = logits(self.trainer.model)
        self.after = logits(self.trainer.model)


def run(folder, base, recipe):
    """Trains; returns the trainer and what it saw before it shipped."""
    look = _Look()
    trainer = trainer_for(copy.deepcopy(base), folder, tiny.rows(24), learning_rate=0.2)
    trainer.add_callback(look)
    look.trainer = attach(trainer, recipe)
    trainer.train()
    return trainer, look


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def world(request, tmp_path_factory):
    """A base, the same run without edits, and the folder of another run."""
    folder = tmp_path_factory.mktemp(request.param)
    base = tiny.tiny(request.param)
    tiny.tiny(request.param, seed=21).save_pretrained(folder / "other")
    plain, _ = run(folder, base, LoRA(rank=RANK))
    return base, plain.model, folder


def method_of(cls, folder):
    other = {"models": str(folder / "other")} if "models" in settings_of(cls) else {}
    return sample(cls, **other)


@pytest.mark.parametrize("cls", EDITS, ids=lambda cls: cls.__name__)
def test_merged_or_as_an_adapter_what_was_seen_is_shipped_and_is_the_edit_of_whole_weights(tmp_path, world, cls):
    base, plain, folder = world
    method = method_of(cls, folder)
    shipped = {}
    for form in ("merged", "adapter"):
        trainer, look = run(tmp_path, base, Train(ship=form) + LoRA(rank=RANK) + method)
        torch.testing.assert_close(look.after, logits(plain), rtol=0, atol=1e-9, msg="looking changed the weights")
        torch.testing.assert_close(look.seen, logits(trainer.model), rtol=0, atol=1e-5)
        assert (look.seen - look.after).abs().max() > 1e-5, "the edit does nothing"
        assert all(torch.isfinite(p).all() for p in trainer.model.parameters())
        shipped[form] = trainer
    merged, adapter = (shipped[form].model for form in ("merged", "adapter"))
    start, whole = dict(base.named_parameters()), dict(merged.named_parameters())

    # Merged: a plain model, whose adapted weights are edited, and all others the base's to the bit.
    assert not tuner_layers(merged)
    assert type(merged) is type(base)
    assert start.keys() == whole.keys()
    state = next((v for k, v in shipped["merged"].holdfast.state.items() if k.endswith(cls.__name__)), {})
    tuned = {one.name: one.tuned() for one in adapted(plain)}
    assert len(tuned) >= 8
    for name, before in start.items():
        if name not in tuned:
            assert torch.equal(whole[name], before), name
        elif not cls.on_parameters:
            expected = method.edit_weights(state, name, before.detach(), tuned[name])
            torch.testing.assert_close(whole[name].detach(), expected, rtol=0, atol=1e-9)

    # As an adapter: the nearest change of its rank, on the base as it was, and so it is when it is loaded.
    assert isinstance(adapter, peft.PeftModel)
    for one in adapted(adapter):
        assert torch.equal(one.param, start[one.name])
        change = (whole[one.name] - start[one.name]).detach().numpy()
        u, s, v = np.linalg.svd(change, full_matrices=False)
        held = (one.tuned() - start[one.name]).detach().numpy()
        left = np.linalg.norm(change - held)
        assert np.linalg.matrix_rank(held, tol=1e-9) <= RANK
        assert left == pytest.approx(np.linalg.norm(change - (u[:, :RANK] * s[:RANK]) @ v[:RANK]), abs=1e-8), one.name
    adapter.save_pretrained(tmp_path / "saved")
    loaded = peft.PeftModel.from_pretrained(copy.deepcopy(base), tmp_path / "saved")
    torch.testing.assert_close(logits(loaded), logits(adapter), rtol=0, atol=1e-5)


@pytest.mark.parametrize("cls", EDITS, ids=lambda cls: cls.__name__)
def test_an_adapter_that_was_not_trained_is_shipped_as_the_base(tmp_path, cls):
    if "models" in settings_of(cls):
        pytest.skip("other runs bring changes of their own")
    base = tiny.tiny()
    trainer = trainer_for(copy.deepcopy(base), tmp_path, tiny.rows(8), learning_rate=0.0)
    attach(trainer, Train(ship="merged") + LoRA(rank=RANK) + sample(cls)).train()
    for name, p in trainer.model.named_parameters():
        torch.testing.assert_close(p, dict(base.named_parameters())[name], rtol=0, atol=1e-12)
