"""Another few layers learn every few steps."""

from __future__ import annotations

import collections
import copy

import numpy as np
import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Mix
from holdfast.core.params import layer_of
from holdfast.core.run import Run, Step
from holdfast.methods.selection.lisa import LISA, lisa
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import both, furthest, trainer_for


def test_so_many_are_drawn_each_as_often_as_the_others_and_again_the_same():
    layers = [3, 4, 7, 9, 11]
    draws = [lisa(layers, 2, str(seed)) for seed in range(1000)]
    assert all(len(drawn) == 2 and drawn <= set(layers) for drawn in draws)
    counts = collections.Counter(layer for drawn in draws for layer in drawn)
    assert all(abs(counts[layer] - 400) < 80 for layer in layers)  # five standard deviations
    assert draws == [lisa(layers, 2, str(seed)) for seed in range(1000)]
    assert lisa(layers, 5, "0") == lisa(layers, 9, "0") == set(layers)


def replayed(method, steps, optimizer):
    """Weights of a model of 4 layers of one weight each, an embedding and a head, after each step."""
    names = ["emb", *(f"h.{i}.w" for i in range(4)), "head"]
    params = {name: torch.nn.Parameter(torch.ones(1, dtype=torch.float64)) for name in names}
    optimizer = optimizer(list(params.values()))
    state = {"run_seed": torch.tensor(5)}
    seen = []
    for index in range(steps):
        for i, p in enumerate(params.values()):
            p.grad = torch.full_like(p, 0.3 + 0.1 * i + 0.05 * index)
        method.edit_grads(state, Step(index, steps, {}, params))
        optimizer.step()
        seen.append({name: float(p.detach()) for name, p in params.items()})
    return seen


def test_with_adam_and_decay_a_layer_moves_only_while_it_is_drawn_and_then_as_adam_in_numpy():
    method = LISA(layers=1, interval=2, seed=1)
    seen = replayed(method, 12, lambda p: torch.optim.AdamW(p, lr=0.1, betas=(0.9, 0.99), weight_decay=0.2, eps=1e-8))
    for i, name in enumerate(["emb", *(f"h.{i}.w" for i in range(4)), "head"]):
        w, m, v, t = 1.0, 0.0, 0.0, 0
        for index in range(12):
            if layer_of(name) is None or layer_of(name) in lisa([0, 1, 2, 3], 1, f"5/1/{index // 2}"):
                g, t = 0.3 + 0.1 * i + 0.05 * index, t + 1
                m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
                w = w * (1 - 0.1 * 0.2) - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)
            assert seen[index][name] == pytest.approx(w, rel=1e-12), (name, index)
    learned = [next(i for i in range(4) if seen[j][f"h.{i}.w"] != (seen[j - 1][f"h.{i}.w"])) for j in range(1, 12)]
    assert len(set(learned)) > 1, "others are drawn in time"


def test_a_gradient_that_somebody_took_stays_taken_and_nothing_is_asked_of_it():
    params = {"h.0.w": torch.nn.Parameter(torch.ones(1)), "h.1.w": torch.nn.Parameter(torch.ones(1))}
    LISA(layers=1).edit_grads({"run_seed": torch.tensor(0)}, Step(0, 1, {}, params))
    assert all(p.grad is None for p in params.values())


def test_in_a_run_one_layer_of_two_moves_and_what_is_in_no_layer_too(tmp_path):
    start = tiny.tiny()
    trainer = trainer_for(
        copy.deepcopy(start), tmp_path, tiny.rows(32), optim="adamw_torch", weight_decay=0.1, micro=4, max_steps=4
    )
    attach(trainer, LISA(layers=1, interval=100)).train()
    (drawn,) = lisa([0, 1], 1, "5/0/0")
    after = dict(trainer.model.named_parameters())
    for name, before in start.named_parameters():
        assert torch.equal(before, after[name]) is (layer_of(name) == 1 - drawn), name


@pytest.mark.parametrize("backbone", ["llama", "gpt2"])
def test_the_trainer_retraces_the_loop(tmp_path, backbone):
    _, trained, expected, _ = both(tmp_path, "LISA(layers=1, interval=1)", backbone=backbone)
    assert furthest(trained, expected) < 1e-8  # transformers takes its own loss in float32


def test_as_many_layers_as_there_are_is_plain_training(tmp_path):
    _, trained, _, _ = both(tmp_path / "a", "LISA(layers=2)")
    _, plain, _, _ = both(tmp_path / "b", "LISA(layers=50, interval=1)")
    trainer = trainer_for(tiny.tiny(), tmp_path / "c", tiny.rows(24))
    trainer.train()
    assert furthest(trained, plain) == furthest(trained, trainer.model) == 0.0


def test_a_model_without_numbered_layers_is_refused():
    with pytest.raises(HoldfastError, match=r"LISA\(\): no trained parameter lies in a numbered layer \(weight, bias"):
        LISA().init_state(Run(torch.nn.Linear(2, 2), Mix(()), 0, 0))
