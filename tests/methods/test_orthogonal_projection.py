"""No layer's weight moves along what old examples make it read."""

from __future__ import annotations

import copy

import numpy as np
import peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.core.params import trainable
from holdfast.core.run import Run
from holdfast.methods.activations import linear_layers
from holdfast.methods.gradients.orthogonal_projection import OrthogonalProjection, leading_basis, project_out
from holdfast.methods.selection.lora import LoRA
from holdfast.train.attach import attach
from holdfast.train.trainer_view import TrainerView
from tests import tiny
from tests.train.retrace import furthest, trainer_for

OLD = tiny.rows(2, seed=3, longest=4)  # eight tokens, for layers that read 16 numbers
MEMORIES = {"old": [Example(row["input_ids"], row["labels"]) for row in OLD]}
ALL = OrthogonalProjection(memory="old", threshold=1.0)


def test_values_worked_by_hand():
    moment = torch.diag(torch.tensor([1.0, 6.0, 3.0]))
    for threshold, directions in ((0.0, []), (0.5, [1]), (0.6, [1]), (0.61, [1, 2]), (0.95, [1, 2, 0])):
        basis = leading_basis(moment, threshold)
        assert basis.abs().argmax(0).tolist() == directions
        assert basis.shape == (3, len(directions))
    change, along = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.0], [1.0]])
    assert project_out(change, along).tolist() == [[1.0, 0.0], [3.0, 0.0]]
    assert project_out(change, along, axis=0).tolist() == [[1.0, 2.0], [0.0, 0.0]]
    assert leading_basis(torch.zeros(3, 3), 0.9).shape == (3, 0)


@given(st.integers(0, 10_000), st.floats(0.01, 0.999))
def test_the_directions_are_the_left_singular_vectors_that_reach_the_share(seed, threshold):
    x = np.random.default_rng(seed).normal(size=(30, 6)) * np.arange(1, 7)
    u, s, _ = np.linalg.svd(x.T, full_matrices=False)
    count = int(np.searchsorted((s**2).cumsum() / (s**2).sum(), threshold) + 1)
    basis = leading_basis(torch.tensor(x.T @ x / 30), threshold).numpy()
    np.testing.assert_allclose(basis @ basis.T, u[:, :count] @ u[:, :count].T, atol=1e-9)


def run(folder, model, recipe, **changes):
    settings = {"optim": "adamw_torch", "learning_rate": 0.02, "weight_decay": 0.1, "max_steps": 8, **changes}
    trainer = trainer_for(copy.deepcopy(model), folder, tiny.rows(8), **settings)
    if recipe is not None:
        attach(trainer, recipe, memories=MEMORIES)
    trainer.train()
    return trainer


def drift(model, other):
    """The largest change of the memory's logits."""
    with torch.no_grad():
        one, two = (m.eval()(**{**tiny.collate(OLD), "labels": None}).logits for m in (model, other))
    return float((one - two)[tiny.collate(OLD)["attention_mask"].bool()].abs().max())


@pytest.mark.parametrize("backbone", tiny.BACKBONES)
def test_with_adam_and_weight_decay_the_memorys_outputs_stay_while_the_new_is_learned(tmp_path, backbone):
    start = tiny.tiny(backbone)
    held, free = run(tmp_path, start, ALL), run(tmp_path, start, None)
    assert drift(held.model, start) < 1e-5
    assert drift(free.model, start) > 1e-2
    first, last = held.state.log_history[0]["loss"], held.state.log_history[-2]["loss"]
    assert last < first - 0.2
    linear = {id(layer.weight) for layer in linear_layers(held.model).values()}
    tied = held.model.get_input_embeddings().weight
    for (_, before), (name, after) in zip(start.named_parameters(), held.model.named_parameters(), strict=True):
        assert torch.equal(before, after) == (id(after) not in linear or after is tied), name


@pytest.mark.parametrize("backbone", ["llama", "gpt2"])
@pytest.mark.parametrize("trained", [False, True])
def test_so_it_is_with_an_adapter_fresh_or_trained_before(tmp_path, backbone, trained):
    start = LoRA(rank=4).shape_model(Run(tiny.tiny(backbone), None, 0, 1))
    if trained:
        for i, p in enumerate(trainable(start).values()):
            p.data = 0.3 * torch.tensor(np.random.default_rng(i).normal(size=p.shape))
    held, free = run(tmp_path, start, ALL, max_steps=20), run(tmp_path, start, None)
    assert drift(held.model, start) < 1e-5
    assert drift(free.model, start) > 1e-3
    moved = {
        name.split(".lora_")[1][0]
        for name, p in trainable(held.model).items()
        if not torch.equal(p, dict(start.named_parameters())[name])
    }
    assert moved == ({"A"} if trained else {"A", "B"})
    assert held.state.log_history[-2]["loss"] < held.state.log_history[0]["loss"] - 0.05


def test_less_of_the_energy_holds_less_and_leaves_more_room(tmp_path):
    start = tiny.tiny()
    drifts, losses = zip(
        *(
            (drift(done.model, start), done.state.log_history[-2]["loss"])
            for done in (run(tmp_path, start, OrthogonalProjection(memory="old", threshold=t)) for t in (1.0, 0.8, 0.0))
        ),
        strict=True,
    )
    assert drifts[0] < drifts[1] < drifts[2]
    assert losses[0] > losses[1] > losses[2]


def test_the_rest_may_go_free_and_without_any_share_it_is_plain_training(tmp_path):
    start = tiny.tiny()
    plain = run(tmp_path, start, None)
    free = run(tmp_path, start, OrthogonalProjection(memory="old", threshold=0.0, rest="free"))
    assert furthest(plain.model, free.model) < 1e-12


def test_an_adapter_that_divides_by_the_weights_norm_cannot_be_held(tmp_path):
    model = peft.get_peft_model(tiny.tiny(), peft.LoraConfig(r=2, use_dora=True, target_modules=["q_proj"]))
    run = TrainerView(trainer_for(model, tmp_path, tiny.rows(2)), MEMORIES).run()
    with pytest.raises(HoldfastError, match="no trained tensor is the weight of a linear layer or the A of"):
        ALL.init_state(run)
    with pytest.raises(HoldfastError, match=r"OrthogonalProjection\(\) needs a memory of old examples"):
        OrthogonalProjection()


@pytest.mark.parametrize("recipe", ["{} + MoFO()", "MoFO() + {}"])
def test_what_chooses_entries_acts_before_it_in_whatever_order_they_are_given(tmp_path, recipe):
    model = tiny.tiny(hidden_size=32, intermediate_size=48)
    old = torch.tensor([OLD[0]["input_ids"]])
    before = model.eval()(input_ids=old).logits.detach()
    trainer = run(tmp_path, model, recipe.format(repr(ALL)))
    after = trainer.model.eval()(input_ids=old).logits.detach()
    assert furthest(trainer.model, model) > 1e-3
    torch.testing.assert_close(after, before, rtol=0, atol=1e-9)


def test_an_adapter_it_cannot_project_is_named(tmp_path):
    with pytest.raises(HoldfastError, match="no trained tensor is the weight of a linear layer or the A of"):
        run(tmp_path, tiny.tiny(dtype=torch.float32), f"AdaLoRA(rank=2, start=3) + {ALL!r}")
