"""A step that would unlearn the memory is turned."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.batches import collate
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.core.params import trainable
from holdfast.core.rows import to_tensors
from holdfast.core.run import Step
from holdfast.methods.gradients.agem import AGEM, agem_share
from holdfast.recipe import parse
from holdfast.train.attach import attach
from holdfast.train.full_loop import gradient_of, tokens
from tests import tiny
from tests.train.retrace import trainer_for

START = tiny.tiny()
NEW = tiny.rows(8)
# The same texts with other answers: what is learned of the new ones is unlearned of these.
ODDS = [
    {"input_ids": [*row["input_ids"][:-1], (row["input_ids"][-1] + 7) % 50 + 3], "labels": [-100] * len(row["labels"])}
    for row in NEW
]
for row in ODDS:
    row["labels"][-1] = row["input_ids"][-1]
for row in NEW:
    row["labels"][:-1] = [-100] * (len(row["labels"]) - 1)
RUN_SEED = {"run_seed": torch.tensor(5)}
MEMORIES = {"old": [Example(row["input_ids"], row["labels"]) for row in ODDS]}


def test_values_worked_by_hand():
    g, reference = (
        {"a": torch.tensor([1.0, 0.0]), "b": torch.tensor([-3.0])},
        {
            "a": torch.tensor([1.0, 1.0]),
            "b": torch.tensor([1.0]),
        },
    )
    assert agem_share(g, reference) == pytest.approx(2 / 3)
    assert agem_share({"a": g["a"]}, reference) == 0.0
    nothing = {name: torch.zeros_like(t) for name, t in reference.items()}
    assert agem_share(g, nothing) == 0.0
    assert agem_share({"a": torch.tensor([math.nan, 0.0])}, reference) == 0.0
    assert agem_share(g, {"a": torch.tensor([math.inf, 1.0]), "b": torch.tensor([1.0])}) == 0.0
    assert agem_share({}, {}) == 0.0


@given(st.integers(0, 10_000))
def test_the_result_is_the_nearest_gradient_that_does_not_conflict(seed):
    generator = np.random.default_rng(seed)
    g, reference = generator.normal(size=(2, 7))
    parts = [slice(0, 3), slice(3, 7)]
    share = agem_share(*({str(i): torch.tensor(x[part]) for i, part in enumerate(parts)} for x in (g, reference)))
    found = g + share * reference
    if g @ reference >= 0:
        assert share == 0.0
        return
    assert found @ reference == pytest.approx(0.0, abs=1e-9)
    for other in generator.normal(size=(20, 7)):
        if other @ reference >= 0:
            assert np.linalg.norm(found - g) <= np.linalg.norm(other - g)


def step_of(model, index=0):
    return Step(index, 3, {}, trainable(model), gradient_of(model, None))


def test_it_projects_with_the_gradient_of_its_own_drawn_batch_and_changes_nothing_else():
    model = copy.deepcopy(START)
    state = {"memory": to_tensors(MEMORIES["old"]), "seed": torch.tensor(5)}
    found = []
    for index in (0, 1):
        tokens(model, None, tiny.collate(NEW)).nll_N.mean().backward()
        before = {name: p.grad.clone() for name, p in model.named_parameters()}
        asked = []
        step = step_of(model, index)
        plain = step.gradient
        step.gradient = lambda batch, plain=plain, asked=asked: asked.append(batch) or plain(batch)
        AGEM(memory="old", samples=3).edit_grads(state, step)
        (batch,) = asked
        assert batch["input_ids"].shape[0] == 3
        reference = np.concatenate([g.numpy().ravel() for g in gradient_of(model, None)(batch).values()])
        g = np.concatenate([g.numpy().ravel() for g in before.values()])
        after = np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])
        if g @ reference < 0:
            g = g - (g @ reference) / (reference @ reference) * reference
        np.testing.assert_allclose(after, g, rtol=0, atol=1e-12)
        model.zero_grad()
        found.append(batch["input_ids"])
    assert not torch.equal(*(f[:, :4] for f in found)), "another batch at each step"


def test_a_step_against_the_memory_no_longer_raises_its_loss(tmp_path):
    everything = collate(MEMORIES["old"][:8], 0)

    def train(recipe):
        model = copy.deepcopy(START)
        trainer = trainer_for(model, tmp_path, NEW, max_steps=6, num_train_epochs=6, learning_rate=0.02)
        if recipe is not None:
            attach(trainer, recipe, memories=MEMORIES)
        trainer.train()
        with torch.no_grad():
            old, new = (
                float(tokens(trainer.model.eval(), None, b).nll_N.mean()) for b in (everything, tiny.collate(NEW))
            )
        return old, new

    with torch.no_grad():
        old, new = (float(tokens(START.eval(), None, b).nll_N.mean()) for b in (everything, tiny.collate(NEW)))
    plain, turned = train(None), train(AGEM(memory="old", samples=8))
    assert plain[0] > old + 0.05, "plain training unlearns it"
    assert turned[0] < old + 0.2 * (plain[0] - old)
    assert turned[1] < new - 0.05, "and the new ones are learned all the same"


@pytest.mark.parametrize(
    "recipe", ["AGEM('old', samples=4) + LISA(layers=1)", "LISA(layers=1) + AGEM('old', samples=4)"]
)
def test_what_is_left_of_a_gradient_does_not_conflict_wherever_a_choice_of_layers_stands(recipe):
    model = copy.deepcopy(START)
    recipe, state = parse(recipe), {"memory": to_tensors(MEMORIES["old"]), "seed": torch.tensor(5)}
    tokens(model, None, tiny.collate(NEW)).nll_N.mean().backward()
    step = step_of(model)
    batches, plain = [], step.gradient
    step.gradient = lambda batch: batches.append(batch) or plain(batch)
    recipe.edit_grads({"0.AGEM": state, "1.AGEM": state, **dict.fromkeys(("0.LISA", "1.LISA"), RUN_SEED)}, step)
    reference = plain(batches[0])
    left = {name: p.grad for name, p in step.params.items() if p.grad is not None}
    assert len(left) < len(step.params)
    assert agem_share(left, reference) == pytest.approx(0.0, abs=1e-9)


def test_a_memory_is_needed():
    with pytest.raises(HoldfastError, match=r"AGEM\(\) needs a memory of old examples: AGEM\(memory='old.jsonl'\)."):
        AGEM()
