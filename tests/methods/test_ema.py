"""What is shipped is the average along the way."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.mix import Mix
from holdfast.core.params import trainable
from holdfast.core.run import Run, Step
from holdfast.methods.edits.ema import EMA, ema, warm_decay
from holdfast.methods.schedules.train import Train
from holdfast.methods.selection.lora import LoRA
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import furthest, trainer_for

START = tiny.tiny()


def replayed(values, decay, dtype=torch.float64):
    """The weight that is shipped after a run through these weights, the first of which is the base's."""
    module = torch.nn.Linear(1, len(values[0]), bias=False, dtype=dtype)
    module.weight.data = torch.tensor(values[0], dtype=dtype)[:, None]
    method = EMA(decay=decay)
    state = method.init_state(Run(module, Mix(()), 0, len(values)))
    base = module.weight.detach().clone()
    for index, value in enumerate(values[1:]):
        module.weight.data = torch.tensor(value, dtype=dtype)[:, None]
        method.after_step(state, Step(index, len(values), {}, trainable(module)))
    return method.edit_weights(state, "weight", base, module.weight.detach())[:, 0]


@given(st.integers(0, 10_000), st.integers(1, 60), st.floats(0.0, 0.999))
def test_it_is_the_weighted_sum_in_numpy(seed, steps, decay):
    values = np.random.default_rng(seed).normal(size=(steps + 1, 3))
    decays = [min(decay, t / (9 + t)) for t in range(1, steps + 1)]
    # Each weight counts with 1 - d of its own step times the decays of all later ones.
    shares = [np.prod(decays)] + [(1 - decays[t]) * np.prod(decays[t + 1 :]) for t in range(steps)]
    assert sum(shares) == pytest.approx(1.0)
    np.testing.assert_allclose(replayed(values.tolist(), decay), shares @ values, rtol=1e-10, atol=1e-12)


def test_the_decay_begins_at_a_tenth_and_ends_at_what_is_asked():
    assert [warm_decay(0.9, t) for t in (0, 1, 80, 81, 1000)] == [0.1, 2 / 11, 0.9, 0.9, 0.9]
    assert warm_decay(0.0, 50) == 0.0


def test_without_decay_the_last_weight_is_shipped_to_the_bit_and_a_still_weight_stays():
    assert EMA(decay=0.0).off
    assert replayed([[1.0, 2.0], [3.3, -4.1]], 0.0).tolist() == [3.3, -4.1]
    assert replayed([[1.1, 2.7]] * 50, 0.99).tolist() == [1.1, 2.7]
    assert replayed([[1.1, 2.7]] * 50, 0.99, torch.bfloat16).tolist() == torch.tensor([1.1, 2.7]).bfloat16().tolist()


def test_half_a_precision_does_not_stop_the_average():
    found = replayed([[1.0]] * 200 + [[1.0 + 2**-7]] * 500, 0.99, torch.bfloat16)
    assert found.tolist() == [1.0 + 2**-7], "steps of a hundredth of this are lost in bfloat16"


def test_what_is_no_number_is_not_hidden():
    assert ema(torch.zeros(2), torch.tensor([float("nan"), 1.0]), 0.5).isnan().tolist() == [True, False]


def history(folder, recipe, **changes):
    """A trainer after its run, and the trained parameters after each step."""
    seen = []

    class Watched(type(trainer_for(tiny.tiny(), folder, tiny.rows(8)))):
        def get_batch_samples(self, *args, **kwargs):
            seen.append({name: p.detach().clone() for name, p in trainable(self.model).items()})
            return super().get_batch_samples(*args, **kwargs)

    trainer = trainer_for(tiny.tiny(), folder, tiny.rows(24), trainer_class=Watched, micro=4, **changes)
    attach(trainer, recipe).train()
    return trainer, seen[: trainer.state.global_step]


@pytest.mark.parametrize("ship", ["adapter", "merged"])
def test_in_a_run_the_average_of_the_adapters_factors_is_shipped_in_either_form(tmp_path, ship):
    trainer, _ = history(tmp_path, Train(ship=ship) + LoRA(rank=2) + EMA(decay=0.5))
    plain, seen = history(tmp_path, LoRA(rank=2) + EMA(decay=0.0))
    seen.append({name: p.detach() for name, p in trainable(plain.model).items()})
    average = {name: p.clone() for name, p in seen[0].items()}
    for t, now in enumerate(seen[1:], start=1):
        d = min(0.5, t / (9 + t))
        average = {name: d * average[name] + (1 - d) * now[name] for name in now}
    expected = copy.deepcopy(plain.model)
    for name, p in trainable(expected).items():
        p.data = average[name]
    if ship == "merged":
        expected = expected.merge_and_unload()
    assert furthest(trainer.model, expected) < 1e-12
    assert furthest(trainer.model, plain.model if ship == "adapter" else plain.model.merge_and_unload()) > 1e-4


def test_training_itself_is_left_alone_and_the_averaged_weights_are_those_evaluated_as_shipped(tmp_path):
    plain = trainer_for(tiny.tiny(), tmp_path, tiny.rows(24))
    plain.train()
    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(24))
    attach(trainer, EMA(decay=0.5))
    losses = lambda one: [row["loss"] for row in one.state.log_history if "loss" in row]  # noqa: E731
    trainer.train()
    assert losses(trainer) == losses(plain)
    assert furthest(trainer.model, plain.model) > 1e-4
    distance = [
        sum(
            float((p - q).detach().pow(2).sum())
            for p, q in zip(one.model.parameters(), START.parameters(), strict=True)
        )
        for one in (trainer, plain)
    ]
    assert distance[0] < distance[1]
