"""Leading singular directions stand still."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from holdfast.core.adapters import adapted
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Mix
from holdfast.core.run import Run
from holdfast.methods.selection.osf import OSF, osf
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import trainer_for


def test_a_factor_loses_its_part_along_what_stands_still():
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))
    factor = torch.as_tensor(q[:, 2:5] + 0.3 * q[:, :3])
    found = osf(factor, torch.as_tensor(q[:, :2]))
    np.testing.assert_allclose(q[:, :2].T @ found.numpy(), 0.0, atol=1e-12)
    np.testing.assert_allclose(q[:, 2:].T @ found.numpy(), q[:, 2:].T @ factor.numpy(), atol=1e-12)


@pytest.mark.parametrize("keep", [0.25, 0.5])
def test_after_training_no_change_is_among_the_leading_directions(tmp_path, keep):
    """AdamW would put it there; the change of every weight is orthogonal to them on both sides."""
    base = tiny.tiny()
    trainer = trainer_for(copy.deepcopy(base), tmp_path, tiny.rows(24), optim="adamw_torch", learning_rate=0.01)
    attach(trainer, OSF(keep=keep))
    trainer.train()
    found = adapted(trainer.model)
    assert len(found) == 14
    for one in found:
        before = base.get_parameter(one.name).detach().numpy()
        change = one.tuned().detach().numpy() - before
        u, _, v = np.linalg.svd(before)
        high = int(min(before.shape) * keep)
        size = np.linalg.norm(change)
        assert size > 1e-3
        assert np.linalg.norm(u[:, :high].T @ change) < 1e-4 * size
        assert np.linalg.norm(change @ v[:high].T) < 1e-4 * size


def test_the_start_is_the_base():
    base = tiny.tiny()
    model = OSF().shape_model(Run(copy.deepcopy(base), Mix(()), 0, 0))
    ids = torch.tensor([tiny.rows(1)[0]["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(ids).logits, base.eval()(ids).logits, rtol=0, atol=1e-5)


def test_what_it_cannot_be_put_on_is_refused():
    model = tiny.tiny("gpt2")
    before = {name: p.clone() for name, p in model.named_parameters()}
    with pytest.raises(HoldfastError, match="OSF"):
        OSF().shape_model(Run(model, Mix(()), 0, 0))
    assert before.keys() == dict(model.named_parameters()).keys()


@pytest.mark.parametrize("recipe", ["OSF() + MoFO()", "MoFO() + OSF()"])
def test_what_chooses_entries_acts_before_it_in_whatever_order_they_are_given(tmp_path, recipe):
    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(24), learning_rate=0.01)
    attach(trainer, recipe)
    trainer.train()
    kept = next(state for key, state in trainer.holdfast.state.items() if key.endswith("OSF"))
    params = dict(trainer.model.named_parameters())
    for name, high in kept.items():
        factor = params[name].detach()
        assert (high.T @ (factor.T if name.endswith("V_low") else factor)).abs().max() < 1e-12
