"""Updates that leave old inputs alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Run, Step
from holdfast.core.mix import Example, Mix
from holdfast.core.params import trainable
from holdfast.methods.gradients.orthogonal_projection import OrthogonalProjection, principal, projected
from holdfast.methods.selection.lora import LoRA
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import trainer_for

OLD = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(2, seed=3)]


@given(st.integers(0, 1000), st.floats(0.05, 1.0))
def test_the_basis_is_that_of_the_authors_formula(seed, energy):
    x = np.random.default_rng(seed).normal(size=(6, 20)) * np.arange(1, 7)[:, None]  # the paper's [in, samples]
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    share = np.cumsum(s**2) / (s**2).sum()
    count = int((share < energy).sum()) + 1 if energy < 1 else 6
    basis = principal(torch.as_tensor(x @ x.T), energy)
    assert basis.shape == (6, count)
    mine, theirs = basis.numpy(), u[:, :count]
    np.testing.assert_allclose(mine @ mine.T, theirs @ theirs.T, atol=1e-8)


def test_directions_without_energy_are_free():
    x = torch.zeros(5, 3, dtype=torch.float64)
    x[0, 0], x[1, 1] = 2.0, 1.0
    assert principal(x @ x.T, 1.0).shape == (5, 2)
    assert principal(torch.zeros(5, 5), 0.9).shape == (5, 0)
    assert principal(x @ x.T, 0.0).shape == (5, 0)


@given(st.integers(0, 1000), st.integers(0, 1))
def test_a_projected_update_does_not_move_old_outputs_and_keeps_the_rest(seed, dim):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    update = torch.randn(4, 7, generator=generator, dtype=torch.float64)
    basis = principal(x @ x.T, 1.0)
    found = projected(update if dim == 1 else update.T, basis, dim)
    found = found if dim == 1 else found.T
    assert (found @ x).abs().max() < 1e-9
    away = torch.linalg.qr(torch.cat([x, update.T], 1)).Q[:, 3:]  # orthogonal to the old inputs
    torch.testing.assert_close(found @ away, update @ away)
    torch.testing.assert_close(projected(found if dim == 1 else found.T, basis, dim), found if dim == 1 else found.T)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_a_model_trained_so_says_the_same_of_the_old_examples(tmp_path, family):
    """With all of their energy kept in place and nothing else trained, to rounding; plainly trained, it does not."""
    moved = {}
    for method in (OrthogonalProjection("old", energy=1.0), None):
        model = tiny.tiny(family)
        start = copy.deepcopy(model)
        trainer = trainer_for(model, tmp_path, tiny.rows(16), optim="adamw_torch", learning_rate=0.01, weight_decay=0.1)
        if method is not None:
            attach(trainer, method, memories={"old": OLD})
        trainer.train()
        ids = torch.tensor([OLD[0].input_ids])
        with torch.no_grad():
            moved[method is None] = float((model.eval()(ids).logits - start.eval()(ids).logits).abs().max())
        assert any(not torch.equal(p, start.get_parameter(n)) for n, p in model.named_parameters())
    assert moved[False] < 1e-7 < 0.01 < moved[True]


def test_what_is_no_linear_layer_is_held_or_free():
    model = tiny.tiny("gpt2")
    run = Run(model, Mix(()), 0, 3, memory=lambda _: OLD, batches=lambda e, _: [tiny.collate(
        [{"input_ids": x.input_ids, "labels": x.labels} for x in e])])  # fmt: skip
    for others in ("held", "free"):
        method = OrthogonalProjection("old", others=others)
        state = method.init_state(run)
        assert state["0"]
        assert all("c_" in name for name in state["0"])
        step = Step(0, 3, {}, trainable(model))
        name = "transformer.ln_f.weight"
        before, after = torch.zeros(3), torch.ones(3)
        assert torch.equal(method.edit_update(state, step, name, before, after), before if others == "held" else after)


def test_it_is_refused_without_a_memory_and_on_an_adapter(tmp_path):
    with pytest.raises(HoldfastError, match="needs old examples"):
        OrthogonalProjection()
    with pytest.raises(HoldfastError, match="use LoRANull"):
        OrthogonalProjection("old") + LoRA()
    model = LoRA(rank=2).shape_model(Run(tiny.tiny(), Mix(()), 0, 0))
    trainer = trainer_for(model, tmp_path, tiny.rows(4))
    attach(trainer, OrthogonalProjection("old"), memories={"old": OLD})
    with pytest.raises(HoldfastError, match="use LoRANull"):
        trainer.train()
