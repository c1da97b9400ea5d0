"""What the base knew well is learned more."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.mix import Example
from holdfast.methods.rehearsal.rehearsal import Rehearsal
from holdfast.methods.samples import median, sample_means
from holdfast.methods.tokens.flow import FLOW, flow
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import batches_of, trainer_for

LR = 0.05


def row_losses(model, rows):
    """The loss of each supervised token of each row, one row at a time, in numpy float64."""
    found = []
    for row in rows:
        ids = torch.tensor([row["input_ids"]])
        with torch.no_grad():
            logits = model.eval()(input_ids=ids).logits[0, :-1].double().numpy()
        logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        labels = row["labels"][1:]
        found.append(np.array([-logp[t, y] for t, y in enumerate(labels) if y != -100]))
    return found


def row_of(rows, batch, at):
    """Which of `rows` the row `at` of a batch is."""
    ids = batch["input_ids"][at][batch["attention_mask"][at].bool()].tolist()
    return next(i for i, row in enumerate(rows) if row["input_ids"] == ids)


def trained_by_hand(model, rows, steps, weights_of):
    """Plain gradient descent on (1/N) sum w l; `weights_of(model, index, row number, its losses)` gives the w."""
    params = list(model.parameters())
    for index, micro_batches in enumerate(steps):
        terms, count = [], 0
        for batch in micro_batches:
            for at in range(len(batch["labels"])):
                number = row_of(rows, batch, at)
                ids = torch.tensor([rows[number]["input_ids"]])
                labels = torch.tensor(rows[number]["labels"][1:])
                logp = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
                losses = torch.stack([-logp[t, y] for t, y in enumerate(labels.tolist()) if y != -100])
                weights = weights_of(index, number, losses.detach().numpy())
                terms.append((torch.as_tensor(weights) * losses).sum())
                count += len(losses)
        grads = torch.autograd.grad(sum(terms) / count, params)
        for p, grad in zip(params, grads, strict=True):
            p.data -= LR * grad
    return model


def test_values_worked_by_hand():
    weights = flow(torch.tensor([0.0, 1.0, 2.0, 800.0, math.inf, math.nan]).double(), 2.0)
    assert weights.tolist() == pytest.approx([1.0, math.exp(-0.5), math.exp(-1.0), 0.0, 0.0, 0.0])
    assert flow(torch.zeros(3), 0.0).tolist() == [1.0] * 3, "known by heart: all in full"


@given(st.lists(st.floats(0, 50) | st.just(math.nan), max_size=12))
def test_the_median_is_numpys(values):
    found = median(torch.tensor(values, dtype=torch.float64))
    known = [value for value in values if not math.isnan(value)]
    assert found == pytest.approx(np.median(known)) if known else math.isnan(found)


def test_the_means_are_those_of_the_documents_wherever_their_tokens_stand():
    means_D, place_N = sample_means(torch.tensor([1.0, 5.0, 3.0, 7.0]), torch.tensor([4, 9, 4, 4]))
    assert means_D.tolist() == pytest.approx([11 / 3, 5.0])
    assert place_N.tolist() == [0, 1, 0, 0]


@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_an_easier_example_never_counts_less_and_units_of_loss_do_not_matter(seed, scale):
    losses = torch.tensor(np.random.default_rng(seed).gamma(2.0, size=9)).sort().values
    weights = flow(losses, median(losses))
    assert bool((weights.diff() <= 0).all())
    assert float(weights[4]) == pytest.approx(math.exp(-1)), "the median example"
    torch.testing.assert_close(flow(scale * losses, median(scale * losses)), weights)


@pytest.mark.parametrize("level", ["sample", "token"])
@pytest.mark.parametrize("temperature", [None, 1.3])
def test_a_run_is_the_authors_formula_in_numpy(tmp_path, level, temperature):
    """sum_i w_i sum_t CE_it / (count of tokens), w from the base alone, through all steps."""
    rows, start = tiny.rows(24), tiny.tiny()
    base = row_losses(start, rows)
    if level == "sample":
        tau = np.median([losses.mean() for losses in base]) if temperature is None else temperature
        weights = [np.full(len(losses), np.exp(-losses.mean() / tau)) for losses in base]
    else:
        tau = np.median(np.concatenate(base)) if temperature is None else temperature
        weights = [np.exp(-losses / tau) for losses in base]
    trainer = trainer_for(copy.deepcopy(start), tmp_path, rows, micro=4, accumulate=2, max_grad_norm=0.0)
    attach(trainer, FLOW(level=level, temperature=temperature))
    steps = batches_of(trainer)
    trainer.train()
    expected = trained_by_hand(copy.deepcopy(start), rows, steps, lambda index, number, losses: weights[number])
    for p, q in zip(trainer.model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-7)  # the weights are kept in float32


def test_the_median_is_that_of_the_tokens_that_are_weighed(tmp_path):
    rows, old, start = tiny.rows(9), tiny.rows(5, seed=3), tiny.tiny()
    memory = [Example(row["input_ids"], row["labels"]) for row in old]
    means = {"new": [x.mean() for x in row_losses(start, rows)], "memory": [x.mean() for x in row_losses(start, old)]}
    means["all"] = means["new"] + means["memory"]
    for on, losses in means.items():
        trainer = trainer_for(copy.deepcopy(start), tmp_path / on, rows, max_steps=1)
        attach(trainer, FLOW(on=on) + Rehearsal("old", ratio=0.4), memories={"old": memory})
        trainer.train()
        found = trainer.holdfast.state["0.FLOW"]["weight"]
        counts = [sum(label != -100 for label in row["labels"][1:]) for row in rows + old]
        expected = np.repeat(np.exp(-np.array(means["all"]) / np.median(losses)), counts)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
