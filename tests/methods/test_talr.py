"""Each token by its probability, on a scale that follows the loss."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.run import Step
from holdfast.methods.tokens.dft import DFT
from holdfast.methods.tokens.talr import TALR, talr
from holdfast.train.attach import attach
from tests import tiny
from tests.methods.test_dft import random, tokens_of
from tests.methods.test_flow import row_losses, trained_by_hand
from tests.train.retrace import batches_of, trainer_for


def state_at(temperature):
    return {"temperature": torch.tensor(temperature, dtype=torch.float64)}


@pytest.mark.parametrize("tau", [0.3, 1.0, 2.7])
@pytest.mark.parametrize("floor", [0.0, 0.01, 0.4])
def test_it_is_the_floored_power_of_the_probability_in_numpy(tau, floor):
    logits, labels = random(40, 9) * 3, [i % 9 for i in range(40)]
    p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
    expected = np.maximum(p[np.arange(40), labels] ** (1 / tau), floor)
    found = TALR(floor=floor).weigh_tokens(state_at(tau), tokens_of(logits, labels))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_values_worked_by_hand():
    found = talr(torch.tensor([0.0, math.log(2), math.log(16), 800.0, math.inf]).double(), 2.0)
    assert found.tolist() == pytest.approx([1.0, math.sqrt(0.5), 0.25, 0.01, 0.01])


def test_the_weights_are_those_that_the_entropy_of_weights_asks_for():
    """min over w of sum w l + tau sum w log w on the simplex: no other weights do better than p^(1/tau), normalised."""
    losses, tau = torch.tensor([0.2, 1.0, 2.5, 4.0]).double(), 1.7

    def objective(w):
        return float((w * losses).sum() + tau * (w * w.log()).sum())

    best = talr(losses, tau, floor=0.0)
    best = best / best.sum()
    assert objective(best) == pytest.approx(-tau * float((-losses / tau).logsumexp(0)))
    for seed in range(20):
        other = (best.log() + 0.1 * random(4, seed=seed)).softmax(0)
        assert objective(other) > objective(best)


@given(st.floats(0.05, 20), st.floats(0.05, 20), st.floats(0.0, 1.0))
def test_a_higher_loss_of_all_makes_the_weights_milder(one, other, floor):
    low, high = sorted((one, other))
    losses = torch.tensor([0.0, 0.4, 3.0, 30.0]).double()
    mild, strict = talr(losses, high, floor), talr(losses, low, floor)
    assert bool((mild >= strict).all())
    assert bool((strict >= floor).all())
    assert bool((mild <= 1).all())


def test_at_a_temperature_of_one_and_without_floor_it_is_dft():
    tok = tokens_of(random(12, 5), [i % 5 for i in range(12)])
    torch.testing.assert_close(TALR(floor=0.0).weigh_tokens(state_at(1.0), tok), DFT().weigh_tokens({}, tok))
    assert TALR(floor=1.0).off
    assert not TALR(floor=0.0).off


def test_no_gradient_flows_through_the_weight():
    tok = tokens_of(random(3, 25).requires_grad_(), [0, 1, 2])
    assert not TALR().weigh_tokens(state_at(1.0), tok).requires_grad


def test_a_step_without_new_tokens_leaves_the_temperature_alone():
    state = state_at(1.5)
    for values in (torch.zeros(0), torch.tensor([math.nan])):
        TALR().after_step(state, Step(0, 2, {}, {}, values={"document_nll": values, "nll_N": values}))
        assert float(state["temperature"]) == 1.5


@pytest.mark.parametrize("over", ["samples", "tokens"])
def test_a_run_is_the_rule_in_numpy_with_the_median_of_the_step_before(tmp_path, over):
    rows, start = tiny.rows(24), tiny.tiny()

    def tau_of(losses):
        return np.median([x.mean() for x in losses] if over == "samples" else np.concatenate(losses))

    trainer = trainer_for(copy.deepcopy(start), tmp_path, rows, micro=2, accumulate=4, max_grad_norm=0.0)
    attach(trainer, TALR(over=over, floor=0.05))
    steps = batches_of(trainer)
    trainer.train()
    seen = {-1: row_losses(start, rows)}

    def weights_of(index, number, losses):
        seen.setdefault(index, []).append(losses)
        return np.maximum(np.exp(-losses / tau_of(seen[index - 1])), 0.05)

    expected = trained_by_hand(copy.deepcopy(start), rows, steps, weights_of)
    assert len(steps) == 3
    for p, q in zip(trainer.model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-7)
    assert float(trainer.holdfast.state["0.TALR"]["temperature"]) == pytest.approx(tau_of(seen[2]), rel=1e-6)
