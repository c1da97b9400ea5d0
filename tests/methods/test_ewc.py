"""Weights are held by how much the old predictions depend on them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.core.params import snapshot, trainable
from holdfast.core.run import Step
from holdfast.core.tokens import Tokens
from holdfast.methods.losses.ewc import EWC, diagonal_fisher, drawn_nll
from holdfast.train.attach import attach
from holdfast.train.full_loop import tokens
from holdfast.train.trainer_view import TrainerView
from tests import tiny
from tests.train.retrace import trainer_for

OLD = tiny.rows(5, seed=3)
MEMORIES = {"old": [Example(row["input_ids"], row["labels"]) for row in OLD]}
START = tiny.tiny()


def run_of(folder, model, data=None):
    return TrainerView(trainer_for(model, folder, data or tiny.rows(6)), MEMORIES).run()


def by_hand(model, rows):
    """Row by row: the square of the summed gradient, over all tokens."""
    total, sums = 0, {}
    for row in rows:
        nll_N = tokens(model.eval(), None, tiny.collate([row])).nll_N
        total += len(nll_N)
        grads = torch.autograd.grad(nll_N.sum(), list(model.parameters()))
        for (name, _), grad in zip(model.named_parameters(), grads, strict=True):
            sums[name] = sums.get(name, 0.0) + grad.numpy() ** 2
    return {name: value / total for name, value in sums.items()}


def test_a_value_worked_by_hand():
    grads = [({"w": torch.tensor([1.0, 0.0])}, 3), ({"w": torch.tensor([-2.0, 0.5])}, 1)]
    assert diagonal_fisher(grads)["w"].tolist() == [(9 + 4) / 4, 0.25 / 4]
    assert diagonal_fisher([]) == {}


@pytest.mark.parametrize("backbone", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("on", ["memory", "new"])
def test_with_the_texts_labels_it_is_the_empirical_fisher_example_by_example(tmp_path, backbone, on):
    model, data = tiny.tiny(backbone), tiny.rows(6)
    found = EWC(memory="old", on=on, labels="data").init_state(run_of(tmp_path, model, data))["fisher"]
    for name, expected in by_hand(model, OLD if on == "memory" else data).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-7, err_msg=name)


def test_drawn_labels_give_the_fisher_and_half_its_square_is_the_divergence():
    generator = np.random.default_rng(0)
    x_ND, weight_VD = (torch.tensor(generator.normal(size=shape)) for shape in ((3, 2), (4, 2)))
    p_NV = (x_ND @ weight_VD.T).softmax(-1)
    exact = ((p_NV * (1 - p_NV))[:, :, None] * x_ND.square()[:, None, :]).sum(0) / 3

    def gradients(draws):
        source = torch.Generator().manual_seed(1)
        for _ in range(draws):
            weight = weight_VD.clone().requires_grad_()
            labels_N = torch.zeros(3, dtype=torch.int64)
            tok = Tokens(x_ND @ weight.T, labels_N, labels_N, labels_N)
            yield {"w": torch.autograd.grad(drawn_nll(tok.logits_NV, source).mean(), weight)[0]}, 3

    # The sum over the tokens of an example is squared, and its cross terms vanish in the mean.
    torch.testing.assert_close(diagonal_fisher(gradients(6000))["w"], exact, rtol=0.1, atol=0.005)
    nudged = weight_VD.clone()
    nudged[1, 0] += 1e-3
    kl = (p_NV * (p_NV.log() - (x_ND @ nudged.T).log_softmax(-1))).sum(-1).mean()
    assert float(kl) == pytest.approx(float(exact[1, 0]) * 1e-6 / 2, rel=1e-2)


def test_drawn_labels_are_not_the_texts_and_are_the_same_for_the_same_seed(tmp_path):
    run = run_of(tmp_path, tiny.tiny())
    random = torch.random.get_rng_state()
    one, again, data = (EWC(memory="old", labels=name).init_state(run)["fisher"] for name in ("model", "model", "data"))
    assert torch.equal(random, torch.random.get_rng_state())
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not any(torch.equal(one[name], data[name]) for name in one)
    # What the base thinks likely surprises it less than random text does.
    assert sum(float(f.sum()) for f in one.values()) < sum(float(f.sum()) for f in data.values())
    fewer = EWC(memory="old", samples=2).init_state(run)["fisher"]
    assert not torch.equal(one["lm_head.weight"], fewer["lm_head.weight"])


def test_the_penalty_and_its_gradient_are_the_formula():
    model = tiny.tiny(dtype=torch.float32)
    start, generator = snapshot(trainable(model)), np.random.default_rng(0)
    fisher = {n: torch.tensor(generator.random(p.shape), dtype=torch.float32) for n, p in trainable(model).items()}
    for p in model.parameters():
        p.data += 0.1
    penalty = EWC(memory="old", strength=3.0).penalty(
        {"fisher": dict(fisher)}, Step(0, 1, {}, trainable(model), start=start)
    )
    expected = sum(
        1.5 * float((fisher[n].double() * (p.detach() - start[n]).double() ** 2).sum())
        for n, p in model.named_parameters()
    )
    assert float(penalty.detach()) == pytest.approx(expected, rel=1e-5)
    penalty.backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, 3.0 * fisher[name] * (p.detach() - start[name]), rtol=1e-5, atol=1e-7)


def divergence(model, rows):
    """KL from the start on rows, nats per token."""
    with torch.no_grad():
        logp, base = (tokens(m.eval(), None, tiny.collate(rows)).logp_NV for m in (model, START))
        return float((base.exp() * (base - logp)).sum(-1).mean())


def test_it_holds_what_the_memory_needs_better_than_what_it_does_not(tmp_path):
    def train(recipe):
        settings = {"num_train_epochs": 30, "max_grad_norm": 0.0, "learning_rate": 0.02}
        trainer = trainer_for(copy.deepcopy(START), tmp_path, tiny.rows(8), **settings)
        attach(trainer, recipe, memories=MEMORIES)
        trainer.train()
        return divergence(trainer.model, OLD), trainer.state.log_history[-2]["loss"]

    free, _ = train(EWC(memory="old", strength=0.0))
    held, learned = train(EWC(memory="old", strength=3.0))
    elsewhere, learned_less = train(EWC(on="new", strength=3.0))
    assert held < 0.75 * free
    assert held < elsewhere, "measured on the new examples it holds the old ones less"
    assert learned < learned_less, "and is more in the way"


def test_a_memory_is_needed_where_it_is_measured(tmp_path):
    with pytest.raises(HoldfastError, match=r"EWC\(\) needs a memory of old examples: EWC\(memory='old.jsonl'\)."):
        EWC()
    assert EWC(on="new").sources == ()
    silent = [Example([3, 4], [-100, -100])]
    run = TrainerView(trainer_for(tiny.tiny(), tmp_path, tiny.rows(2)), {"old": silent}).run()
    with pytest.raises(HoldfastError, match="memory 'old' has no example with a supervised token"):
        EWC(memory="old").init_state(run)
