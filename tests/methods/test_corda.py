"""The adapter begins with what old inputs use least."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from holdfast.core.adapters import tuner_layers
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.methods.selection import corda
from holdfast.methods.selection.corda import DAMP, CorDA, least_part
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import trainer_for

OLD = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(6, seed=3)]


def test_the_part_is_that_of_the_papers_decomposition():
    draw = np.random.default_rng(0)
    weight, x = draw.normal(size=(5, 7)), draw.normal(size=(30, 7)) * np.arange(1, 8)
    c = x.T @ x / 30
    c = c / np.diag(c).mean()
    c += DAMP * np.eye(7)
    u, s, v = np.linalg.svd(weight @ c, full_matrices=False)
    expected = u[:, -2:] * s[-2:] @ v[-2:] @ np.linalg.inv(c)
    b, a = least_part(torch.as_tensor(weight), torch.as_tensor(x.T @ x / 30), 2)
    np.testing.assert_allclose((b @ a).numpy(), expected, atol=1e-10)
    np.testing.assert_allclose(b.norm(dim=0).numpy(), a.norm(dim=1).numpy(), atol=1e-10)
    whole_b, whole_a = least_part(torch.as_tensor(weight), torch.as_tensor(x.T @ x), 9)
    np.testing.assert_allclose((whole_b @ whole_a).numpy(), weight, atol=1e-9)
    assert whole_b.shape == (5, 9)


def test_old_inputs_hardly_use_it():
    draw = np.random.default_rng(1)
    weight = torch.as_tensor(draw.normal(size=(6, 6)))
    x = torch.as_tensor(draw.normal(size=(50, 6)) * np.array([5, 4, 3, 2, 0.1, 0.1]))
    used = [
        float((x @ (b @ a).T).norm())
        for b, a in (least_part(weight, x.T @ x / 50, 2), least_part(weight, torch.eye(6, dtype=torch.float64), 2))
    ]
    assert used[0] < 0.5 * used[1]


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_the_start_is_the_base_and_what_is_shipped_is_a_plain_adapter_on_it(tmp_path, family):
    import peft

    base = tiny.tiny(family)
    trainer = trainer_for(copy.deepcopy(base), tmp_path, tiny.rows(16))
    attach(trainer, CorDA("old", rank=2), memories={"old": OLD})
    ids = torch.tensor([tiny.rows(1)[0]["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(trainer.model.eval()(ids).logits, base.eval()(ids).logits, rtol=0, atol=1e-8)
    moved = [layer.get_base_layer().weight for layer in tuner_layers(trainer.model)]
    assert not any(torch.equal(w, p) for w in moved for p in base.parameters() if p.shape == w.shape)
    trainer.train()
    trainer.model.save_pretrained(tmp_path / "adapter")
    again = peft.PeftModel.from_pretrained(copy.deepcopy(base), tmp_path / "adapter")
    with torch.no_grad():
        said = trainer.model.eval()(ids).logits
        torch.testing.assert_close(again.eval()(ids).logits, said, rtol=0, atol=1e-5)
        assert float((said - base(ids).logits).abs().max()) > 1e-3


def test_it_needs_a_memory():
    with pytest.raises(HoldfastError, match="needs a memory of old examples"):
        CorDA()


def test_what_leaves_the_weight_is_what_the_adapter_begins_with(tmp_path, monkeypatch):
    parts = []

    def kept(*given):
        b, a = least_part(*given)
        parts.append(b @ a)
        return b, a

    monkeypatch.setattr(corda, "least_part", kept)
    base = tiny.tiny()
    trainer = trainer_for(copy.deepcopy(base), tmp_path, tiny.rows(4))
    attach(trainer, CorDA("old", rank=2, alpha=6.0, targets="q_proj"), memories={"old": OLD})
    whole = [module.weight for name, module in base.named_modules() if name.endswith("q_proj")]
    left = [layer.get_base_layer().weight for layer in tuner_layers(trainer.model)]
    for weight, residual, part in zip(whole, left, parts, strict=True):
        torch.testing.assert_close(weight - residual, part)
