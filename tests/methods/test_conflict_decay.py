"""Weights that carry a contradiction go back to the base."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example, Mix
from holdfast.core.run import Run, Step
from holdfast.core.tokens import Tokens
from holdfast.methods.gradients.conflict_decay import ConflictDecay, conflict_decay, contradiction
from holdfast.methods.gradients.orthogonal_projection import OrthogonalProjection
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import trainer_for

OLD = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(6, seed=3)]


@given(st.integers(0, 1000), st.booleans())
def test_contradiction_is_the_divergence_where_the_likeliest_tokens_differ(seed, spare):
    draw = np.random.default_rng(seed)
    a, b, y = draw.normal(size=(5, 7)), draw.normal(size=(5, 7)), draw.integers(0, 7, 5)
    expected = []
    for row_a, row_b, target in zip(a, b, y, strict=True):
        kept = [i for i in range(7) if not spare or i != target]
        pa, pb = (np.exp(row[kept]) / np.exp(row[kept]).sum() for row in (row_a, row_b))
        expected.append((pb * np.log(pb / pa)).sum() if pa.argmax() != pb.argmax() else 0.0)
    logits = torch.as_tensor(a).requires_grad_()
    found = contradiction(logits, torch.as_tensor(b), torch.as_tensor(y), spare_target=spare)
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-12)
    found.sum().backward()
    assert logits.grad.isfinite().all()


def test_models_that_agree_do_not_contradict_each_other():
    logits = torch.randn(4, 6, dtype=torch.float64)
    assert contradiction(logits * 3, logits, torch.zeros(4, dtype=torch.int64), spare_target=False).eq(0).all()


def test_a_hand_worked_weight():
    weight = torch.tensor([1.0, 2.0, -1.0, 0.0, 3.0])
    start = torch.tensor([0.0, 0.0, 0.0, 0.0, 3.0])
    grad = torch.tensor([1.0, 0.1, 2.0, 5.0, 5.0])  # carried: 1, 0.2, -2, 0, 0
    assert conflict_decay(weight, start, grad, 0.2, 0.5).tolist() == [0.5, 2.0, -1.0, 0.0, 3.0]
    assert conflict_decay(weight, start, grad, 1.0, 0.5).tolist() == [0.5, 1.0, -1.0, 0.0, 3.0]
    assert conflict_decay(weight, start, grad, 1.0, 1.0).tolist() == [0.0, 0.0, -1.0, 0.0, 3.0]
    assert torch.equal(conflict_decay(weight, start, grad, 0.0, 0.5), weight)


@given(st.integers(0, 200))
def test_going_back_lowers_the_loss_to_first_order(seed):
    generator = torch.Generator().manual_seed(seed)
    weight, start, grad = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64).unbind()
    change = conflict_decay(weight, start, grad, 0.3, 0.5) - weight
    assert float((grad * change).sum()) < 0
    assert int((change != 0).sum()) <= 6


def contradictions(model, base, examples):
    rows = [{"input_ids": e.input_ids, "labels": e.labels} for e in examples]
    batch = tiny.collate(rows)
    scored = batch["labels"][:, 1:] != -100
    with torch.no_grad():
        logits, theirs = (
            m.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1][scored]
            for m in (model, base)
        )
    return float(contradiction(logits, theirs, batch["labels"][:, 1:][scored], spare_target=False).mean())


def test_a_model_trained_so_contradicts_the_base_less(tmp_path):
    base = tiny.tiny()
    found = {}
    for method in (None, ConflictDecay("old", every=1, share=0.3)):
        model = copy.deepcopy(base)
        trainer = trainer_for(model, tmp_path, tiny.rows(40), optim="adamw_torch", learning_rate=0.01)
        if method is not None:
            attach(trainer, method, memories={"old": OLD})
        trainer.train()
        found[method is None] = contradictions(model, base, OLD)
    assert 0 < found[False] < 0.8 * found[True]


def test_only_looks_pay_for_the_base(tmp_path):
    """The training forwards run the model alone; at every second step there is one more of each."""
    calls = {"train": 0, "eval": 0}

    def count(module, *_):
        calls["train" if module.training else "eval"] += 1

    model = tiny.tiny()
    trainer = attach(
        trainer_for(model, tmp_path, tiny.rows(32), max_steps=4), ConflictDecay("old", every=2), memories={"old": OLD}
    )
    calls.update(train=0, eval=0)
    model.register_forward_hook(count)
    trainer.train()
    assert calls == {"train": 4, "eval": 4}


def test_without_examples_there_is_nothing_to_look_at(tmp_path):
    with pytest.raises(HoldfastError, match="no example with a supervised token"):
        attach(
            trainer_for(tiny.tiny(), tmp_path, tiny.rows(4)),
            ConflictDecay("old"),
            memories={"old": [Example((3, 4), (-100, -100))]},
        ).train()


@pytest.mark.parametrize(("memory", "spared"), [("old", False), ("", True)])
def test_the_target_is_spared_on_new_examples_alone(memory, spared):
    """The two models differ in nothing but the likeliest token, which is the target."""
    run = Run(tiny.tiny(), Mix(()), 0, 1, memory=lambda _: OLD, examples=lambda _: OLD)
    method = ConflictDecay(memory, every=1)
    found = []

    def gradient(_batch, term):
        tok = Tokens(
            torch.tensor([[9.0, 1.0, 0.0]]),
            torch.tensor([0]),
            torch.tensor([0]),
            torch.tensor([0]),
            base_logits_NV=torch.tensor([[-9.0, 1.0, 0.0]]),
        )
        found.append(float(term(tok)))
        return {}

    weight = torch.nn.Parameter(torch.zeros(1))
    step = Step(0, 1, {}, {"w": weight}, lambda *given: gradient(*given) or {"w": torch.zeros(1)}, {"w": torch.ones(1)})
    method.after_step(method.init_state(run), step)
    assert (found[0] == 0.0) is spared


@pytest.mark.parametrize("average", ["EMA(decay=0.5) + {}", "{} + EMA(decay=0.5)"])
def test_an_average_is_that_of_the_weights_after_they_went_back(tmp_path, average):
    model = tiny.tiny()
    trainer = trainer_for(model, tmp_path, tiny.rows(8), micro=8, learning_rate=1.0)
    recipe = average.format("ConflictDecay(every=1, share=1.0, decay=1.0)")
    attach(trainer, recipe)
    session, start = trainer.holdfast, {name: p.detach().clone() for name, p in model.named_parameters()}
    seen = {}
    after = session.after_update

    def look(**how):
        after(**how)
        seen.update({name: p.detach().clone() for name, p in model.named_parameters()})

    session.after_update = look
    trainer.train()
    assert any(not torch.equal(seen[name], start[name]) for name in seen)
    average = next(state["average"] for key, state in session.state.items() if key.endswith("EMA"))
    for name, value in average.items():
        torch.testing.assert_close(value, 0.1 * start[name] + 0.9 * seen[name], msg=name)


def test_a_projection_is_refused_beside_it():
    with pytest.raises(HoldfastError, match="directions that the projection keeps still"):
        OrthogonalProjection(memory="old") + ConflictDecay()
