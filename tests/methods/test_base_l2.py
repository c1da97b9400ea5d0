"""Half the squared distance from the base."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.adapters import adapted
from holdfast.core.params import snapshot, trainable
from holdfast.core.run import Run, Step
from holdfast.methods.distance import half_square
from holdfast.methods.losses.base_l2 import BaseL2, low_rank_half_square
from holdfast.methods.selection.lora import LoRA
from holdfast.train import checkpoint
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import both, furthest, trainer_for

START = tiny.tiny()


def drawn(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))


def moved(model, seed=0, size=0.1):
    """A step after which every trained weight lies elsewhere than at the start, and the state made at the start."""
    state = BaseL2().init_state(Run(model, None, 0, 1))
    start = snapshot(trainable(model))
    for i, p in enumerate(trainable(model).values()):
        p.data += size * drawn(*p.shape, seed=seed + i)
    return state, Step(0, 1, {}, trainable(model), start=start)


def test_a_value_worked_by_hand():
    weight, start = torch.tensor([1.0, -2.0, 3.0]), torch.tensor([0.0, 0.0, 3.0])
    assert float(half_square(weight, start)) == 2.5
    assert float(half_square(weight, start, torch.tensor([2.0, 0.5, 9.0]))) == 2.0
    b, a = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0, 0.0]])
    assert float(low_rank_half_square(b, a, torch.zeros(2, 1), torch.ones(1, 2))) == (9 + 36) / 2


def test_the_gradients_are_those_of_the_formulas():
    weight, start, precision = drawn(3, 2).requires_grad_(), drawn(3, 2, seed=1), drawn(3, 2, seed=2).square()
    assert torch.autograd.gradcheck(lambda w: half_square(w, start, precision), weight)
    assert torch.autograd.gradcheck(lambda w: half_square(w, start), weight)
    b, a = drawn(5, 2).requires_grad_(), drawn(2, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda b, a: low_rank_half_square(b, a, drawn(5, 2, seed=2), drawn(2, 4, seed=3)), (b, a)
    )


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6), st.integers(1, 4))
def test_from_the_factors_it_is_the_norm_of_the_whole_matrices(seed, out, into, rank):
    generator = np.random.default_rng(seed)
    b, b0 = generator.normal(size=(2, out, rank))
    a, a0 = generator.normal(size=(2, rank, into))
    found = float(low_rank_half_square(*(torch.tensor(x) for x in (b, a, b0, a0))))
    assert found == pytest.approx(np.linalg.norm(b @ a - b0 @ a0) ** 2 / 2, rel=1e-9, abs=1e-12)


def test_near_to_the_start_nothing_is_lost_to_rounding():
    b0, a0 = drawn(50, 3), drawn(3, 40, seed=1)
    b, a = b0 + 1e-6 * drawn(50, 3, seed=2), a0 + 1e-6 * drawn(3, 40, seed=3)
    narrow = [t.float() for t in (b, a, b0, a0)]
    b, a, b0, a0 = (t.double() for t in narrow)
    true = float((b @ a - b0 @ a0).square().sum() / 2)
    assert float(low_rank_half_square(*narrow)) == pytest.approx(true, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_penalty_is_the_sum_over_all_trained_weights(dtype):
    model = tiny.tiny(dtype=dtype)
    model.lm_head.weight.requires_grad_(False)
    state, step = moved(model)
    expected = sum(
        0.3 * np.square(p.detach().double().numpy() - step.start[n].double().numpy()).sum() / 2
        for n, p in step.params.items()
    )
    penalty = BaseL2(strength=0.3).penalty(state, step)
    assert float(penalty.detach()) == pytest.approx(expected, rel=1e-5)
    penalty.backward()
    name, p = next(iter(step.params.items()))
    torch.testing.assert_close(p.grad, (0.3 * (p.double() - step.start[name].double())).to(dtype))


@pytest.mark.parametrize("backbone", ["llama", "gpt2"])
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("still", ["", "lora_A", "lora_B"])
def test_on_an_adapter_it_is_the_distance_of_the_weights_that_it_makes(backbone, trained, still):
    model = LoRA(rank=2, alpha=3.0).shape_model(Run(tiny.tiny(backbone), None, 0, 1))
    if trained:
        moved(model, seed=99, size=0.5)
    for name, p in model.named_parameters():
        p.requires_grad_(p.requires_grad and not (still and still in name))
    before = {one.name: one.tuned().clone() for one in adapted(model)}
    state, step = moved(model)
    if not trained and still == "lora_B":
        assert float(BaseL2().penalty(state, step).detach()) == 0.0
        return
    expected = sum(float((one.tuned() - before[one.name]).square().sum()) / 2 for one in adapted(model))
    state = checkpoint.unflatten(checkpoint.flatten(state))  # as after a resumption
    assert expected > 1.0
    assert float(BaseL2(strength=2.0).penalty(state, step).detach()) == pytest.approx(2 * expected, rel=1e-9)


def test_an_adapter_of_another_kind_is_held_to_the_start_of_its_factors():
    import peft

    model = peft.get_peft_model(tiny.tiny(), peft.LoraConfig(r=2, use_dora=True, target_modules=["q_proj"]))
    state, step = moved(model)
    expected = sum(float((p - step.start[n]).square().sum()) / 2 for n, p in step.params.items())
    assert float(BaseL2(strength=1.0).penalty(state, step).detach()) == pytest.approx(expected, rel=1e-9)


def test_in_a_run_it_retraces_the_loop_and_holds_the_weights_back(tmp_path):
    _, model, expected, _ = both(tmp_path, BaseL2(strength=0.5))
    assert furthest(model, expected) < 1e-6  # the trainer takes its own loss in float32

    def distance(recipe):
        trainer = trainer_for(
            copy.deepcopy(START), tmp_path, tiny.rows(8), num_train_epochs=20, learning_rate=0.02, max_grad_norm=0.0
        )
        attach(trainer, recipe)
        trainer.train()
        pairs = zip(trainer.model.parameters(), START.parameters(), strict=True)
        return sum(float((p - q).square().sum()) for p, q in pairs)

    free, loose, tight = (distance(BaseL2(strength=s)) for s in (0.0, 0.3, 10.0))
    assert tight < loose < free
    assert tight < 0.5 * free
