"""The tokens that a reference gets better at are learned, the others pushed away a little."""

from __future__ import annotations

import copy
import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.core.rows import drawn
from holdfast.methods.tokens.token_forgetting import TokenForgetting, ascent, token_forgetting
from holdfast.train.attach import attach
from holdfast.train.trainer_view import TrainerView
from tests import tiny
from tests.methods.test_flow import row_losses, trained_by_hand
from tests.train.retrace import batches_of, furthest, trainer_for

SEED, RATE = 5, 0.05
"""Of `trainer_for`."""


def authors_loss(losses, gain, keep, coefficient):
    """Sort by gain, descending; the mean loss of the first part, less the coefficient times that of the rest."""
    order = np.argsort(-gain, kind="stable")
    first = int(keep * len(gain))
    return losses[order[:first]].mean() - coefficient * losses[order[first:]].mean()


@given(st.integers(0, 1000), st.integers(2, 40), st.sampled_from([0.5, 0.7, 0.9]), st.floats(0, 1))
def test_it_is_the_authors_loss_in_numpy(seed, count, keep, coefficient):
    draw = np.random.default_rng(seed)
    gain, losses = draw.normal(size=count), draw.gamma(1.0, size=count)
    if int(keep * count) in (0, count):
        return
    weights = token_forgetting(torch.tensor(gain), keep)
    factors = ascent(weights, torch.tensor(losses), coefficient, vocabulary=10**9)
    found = float((factors * torch.tensor(losses)).mean())
    assert found == pytest.approx(authors_loss(losses, gain, keep, coefficient), rel=1e-10, abs=1e-12)


def test_values_worked_by_hand():
    gain = torch.tensor([0.1, -2.0, 3.0, 0.2]).double()
    assert token_forgetting(gain, 0.5).tolist() == [-2.0, -2.0, 2.0, 2.0]
    assert token_forgetting(gain, 0.75).tolist() == pytest.approx([4 / 3, -4.0, 4 / 3, 4 / 3])
    assert token_forgetting(torch.zeros(4), 0.5).tolist() == [2.0, 2.0, -2.0, -2.0], "ties: the first"
    assert token_forgetting(torch.zeros(1), 0.3).tolist() == [1.0]
    assert token_forgetting(torch.zeros(0), 0.3).tolist() == []
    assert token_forgetting(gain, 1.0).tolist() == [1.0] * 4
    assert TokenForgetting(keep=1.0).off


def test_ascent_ends_at_the_loss_of_a_blind_guess():
    weights = torch.tensor([2.0, -3.0, -3.0, -3.0]).double()
    losses = torch.tensor([50.0, math.log(61) - 1e-9, math.log(61) + 1e-9, 50.0], dtype=torch.float64)
    assert ascent(weights, losses, 0.5, 61).tolist() == [2.0, -1.5, 0.0, 0.0]


def adam(model, batches, rate):
    """Adam by the book, in float64, on the mean loss of the tokens of each batch of rows."""
    params = list(model.eval().parameters())
    first, second = [torch.zeros_like(p) for p in params], [torch.zeros_like(p) for p in params]
    for step, batch in enumerate(batches, start=1):
        losses = []
        for row in batch:
            logp = model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1].log_softmax(-1)
            losses += [-logp[t, y] for t, y in enumerate(row["labels"][1:]) if y != -100]
        grads = torch.autograd.grad(sum(losses) / len(losses), params)
        for p, m, v, grad in zip(params, first, second, grads, strict=True):
            m.copy_(0.9 * m + 0.1 * grad)
            v.copy_(0.999 * v + 0.001 * grad**2)
            p.data -= rate * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
    return model


@pytest.mark.parametrize(("keep", "peak", "share", "passes"), [(0.7, 0.25, 0.2, 1), (0.4, 0.8, 0.5, 2)])
def test_a_run_is_the_rule_by_hand(tmp_path, keep, peak, share, passes):
    rows, start = tiny.rows(24), tiny.tiny()
    chosen = drawn(24, math.ceil(share * 24), SEED, 0)
    batches = []
    for index in range(passes):
        turn = [rows[chosen[i]] for i in drawn(len(chosen), len(chosen), SEED, 1 + index)]
        batches += [turn[i : i + 8] for i in range(0, len(turn), 8)]
    after = row_losses(adam(copy.deepcopy(start), batches, RATE), rows)
    gains = [one - other for one, other in zip(row_losses(start, rows), after, strict=True)]
    weights = [np.zeros(len(gain)) for gain in gains]
    for group in (chosen, [i for i in range(24) if i not in chosen]):
        flat = np.concatenate([gains[i] for i in sorted(group)])
        first = int(keep * len(flat))
        ranks = np.empty(len(flat), dtype=int)
        ranks[np.argsort(-flat, kind="stable")] = np.arange(len(flat))
        made = np.where(ranks < first, len(flat) / first, -len(flat) / (len(flat) - first))
        for i in sorted(group):
            weights[i], made = made[: len(gains[i])], made[len(gains[i]) :]

    def weights_of(index, number, losses):
        negative = np.where(losses < np.log(tiny.VOCABULARY), peak * index / 3 * weights[number], 0.0)
        return np.where(weights[number] > 0, weights[number], negative)

    settings = {"keep": keep, "peak": peak, "share": share, "passes": passes}
    trainer = trainer_for(copy.deepcopy(start), tmp_path, rows, micro=4, accumulate=2, max_grad_norm=0.0)
    attach(trainer, TokenForgetting(**settings))
    steps = batches_of(trainer)
    trainer.train()
    state = trainer.holdfast.state["0.TokenForgetting"]
    np.testing.assert_allclose(state["weight"], np.concatenate(weights), rtol=1e-6)
    assert float(state["coefficient"]) == pytest.approx(peak)
    expected = trained_by_hand(copy.deepcopy(start), rows, steps, weights_of)
    for p, q in zip(trainer.model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-6)


def test_making_the_reference_leaves_no_trace(tmp_path):
    trainer = trainer_for(tiny.tiny().train(), tmp_path, tiny.rows(12))
    before, random_state = copy.deepcopy(trainer.model), torch.get_rng_state()
    places = {name: p.data_ptr() for name, p in trainer.model.named_parameters()}
    TokenForgetting(share=1.0, passes=2).init_state(TrainerView(trainer, {}).run())
    assert furthest(before, trainer.model) == 0.0
    assert {name: p.data_ptr() for name, p in trainer.model.named_parameters()} == places
    assert all(p.grad is None for p in trainer.model.parameters())
    assert all(module.training for module in trainer.model.modules())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_what_can_be_learned_is_told_from_noise(tmp_path):
    draw, rows = random.Random(0), []
    for _ in range(40):  # every other token is always the same, the rest is drawn
        ids = [4, *(9 if t % 2 else draw.randrange(10, tiny.VOCABULARY) for t in range(9))]
        rows.append({"input_ids": ids, "labels": ids})
    trainer = trainer_for(tiny.tiny(), tmp_path, rows, learning_rate=0.02)
    weight = TokenForgetting(keep=0.4, share=0.5, passes=3).init_state(TrainerView(trainer, {}).run())["weight"]
    positive = (weight > 0).reshape(40, 9).double().mean(0)  # the first label is drawn, the second is not, and so on
    assert float(positive[1::2].mean()) > 0.7
    assert float(positive[0::2].mean()) < 0.2


def test_a_reference_that_diverges_is_said_to(tmp_path):
    trainer = trainer_for(tiny.tiny(dtype=torch.float32), tmp_path, tiny.rows(12), learning_rate=1e30)
    with pytest.raises(HoldfastError, match=r"the reference's loss is not a number after a fine-tuning at the rate"):
        TokenForgetting().init_state(TrainerView(trainer, {}).run())
