"""Only the entries with the largest momentum move."""

from __future__ import annotations

import copy
import math

import accelerate
import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.top_entries import largest
from holdfast.methods.gradients.mofo import MoFO, mofo
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import furthest, trainer_for

START = tiny.tiny()


def run(folder, recipe, **changes):
    trainer = trainer_for(copy.deepcopy(START), folder, tiny.rows(8), **changes)
    if recipe is not None:
        attach(trainer, recipe)
    trainer.train()
    return trainer.model


def test_values_worked_by_hand():
    before, after = torch.zeros(5), torch.arange(1.0, 6.0)
    momentum = torch.tensor([0.1, -0.9, 0.3, 0.0, 0.5])
    assert mofo(before, after, momentum, 0.4).tolist() == [0, 2, 0, 0, 5]
    assert mofo(before, after, momentum, 0.41).tolist() == [0, 2, 3, 0, 5], "as many as are begun"
    assert mofo(before, after, momentum, 1.0).tolist() == after.tolist()


def test_of_equal_ones_the_first_are_taken_and_what_is_no_number_is_not_hidden():
    assert largest(torch.tensor([1.0, 2.0, 2.0, 2.0]), 2).tolist() == [False, True, True, False]
    assert largest(torch.tensor([1.0, math.nan, 3.0]), 1).tolist() == [False, True, False]
    assert not largest(torch.tensor([-math.inf, -math.inf]), 1).any()
    assert not largest(torch.ones(3), 0).any()


@given(st.integers(0, 10_000), st.integers(1, 40), st.floats(0.01, 1.0))
def test_exactly_the_share_moves_and_no_entry_that_stands_still_is_larger(seed, size, keep):
    generator = np.random.default_rng(seed)
    momentum = torch.tensor(generator.integers(-3, 4, size).astype(float))
    moved = mofo(torch.zeros(size).double(), torch.ones(size).double(), momentum, keep) > 0
    assert int(moved.sum()) == -int(-size * keep // 1)
    if not bool(moved.all()):
        assert float(momentum[moved].abs().min()) >= float(momentum[~moved].abs().max())


def test_two_steps_are_the_algorithm_replayed_in_numpy():
    method = MoFO(keep=0.5, decay=0.8)
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=torch.float64))
    state = {"momentum": {"w": torch.zeros(4, dtype=torch.float64)}}
    step = type("Step", (), {"params": {"w": weight}})()
    w, m = weight.detach().numpy().copy(), np.zeros(4)
    for grad in ([0.1, 2.0, -0.3, 0.0], [5.0, -2.0, 0.1, 0.1]):
        before = weight.detach().clone()
        weight.grad = torch.tensor(grad, dtype=torch.float64)
        kept = method.edit_update(state, step, "w", before, before - 0.1 * weight.grad)
        weight.data.copy_(kept)
        m = 0.8 * m + 0.2 * np.array(grad)
        moving = np.argsort(-np.abs(m), kind="stable")[:2]
        w[moving] -= 0.1 * np.array(grad)[moving]
        np.testing.assert_allclose(weight.detach().numpy(), w, rtol=1e-14)


def test_at_each_step_so_many_entries_of_each_tensor_move(tmp_path):
    moved = run(tmp_path, MoFO(keep=0.1), max_steps=1)
    for (name, before), (_, after) in zip(START.named_parameters(), moved.named_parameters(), strict=True):
        changed = int((before != after).sum())
        assert changed <= math.ceil(0.1 * before.numel()), name
    assert furthest(START, moved) > 1e-4


def test_the_model_stays_nearer_to_where_it_was(tmp_path):
    def distance(model):
        return math.sqrt(
            sum(float((p - q).pow(2).sum()) for p, q in zip(model.parameters(), START.parameters(), strict=True))
        )

    assert distance(run(tmp_path, MoFO())) < distance(run(tmp_path, None))
    assert MoFO(keep=1.0).off


def test_a_tensor_without_a_gradient_is_left_to_the_optimizer():
    step = type("Step", (), {"params": {"w": torch.nn.Parameter(torch.zeros(2))}})()
    assert MoFO().edit_update({"momentum": {}}, step, "w", torch.zeros(2), torch.ones(2)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("recipe", ["MoFO(keep=0.5)", "AdaLoRA(rank=2, start=3, every=1)", "EMA()"])
def test_a_step_that_an_overflow_left_out_leaves_no_trace(tmp_path, monkeypatch, recipe):
    """As under fp16: the gradients are no numbers, and the optimizer takes no step."""
    kind = accelerate.Accelerator
    skipped = {0}

    class Overflow(transformers.TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, optimizer=None, **kwargs):
            monkeypatch.setattr(kind, "optimizer_step_was_skipped", state.global_step in skipped)
            if state.global_step in skipped:
                for p in model.parameters():
                    p.grad = None if p.grad is None else torch.full_like(p, math.nan)
                optimizer.zero_grad()  # so that the step is none
                for p in model.parameters():
                    if p.requires_grad:
                        p.grad = torch.full_like(p, math.nan)

    class Skipping(torch.optim.SGD):
        def step(self, closure=None):
            grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
            if all(torch.isfinite(grad).all() for grad in grads):
                super().step(closure)

    trainer = trainer_for(tiny.tiny(dtype=torch.float32), tmp_path, tiny.rows(24), max_grad_norm=0.0)
    trainer.create_optimizer = lambda model=None: setattr(
        trainer, "optimizer", Skipping([p for p in trainer.model.parameters() if p.requires_grad], lr=0.05)
    )
    attach(trainer, recipe)
    trainer.callback_handler.callbacks.insert(0, Overflow())
    trainer.train()
    assert trainer.state.global_step == 3
    states = [value for state in trainer.holdfast.state.values() for value in state.values()]
    tensors = [t for value in states for t in (value.values() if isinstance(value, dict) else [value])]
    assert tensors
    assert all(torch.isfinite(t.float()).all() for t in tensors)
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())
