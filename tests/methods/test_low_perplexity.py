"""What surprised the base is not learned."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.methods.rehearsal.rehearsal import Rehearsal
from holdfast.methods.tokens.low_perplexity import LowPerplexity, low_perplexity
from holdfast.train.attach import attach
from tests import tiny
from tests.methods.test_flow import row_losses, trained_by_hand
from tests.train.retrace import batches_of, furthest, trainer_for


def test_values_worked_by_hand():
    p = torch.tensor([1.0, 0.41, 0.39, 1e-30, 0.0]).double()
    assert low_perplexity(-p.log()).tolist() == [True, True, False, False, False]
    assert low_perplexity(torch.tensor([math.log(4.0)], dtype=torch.float64), 4.0).tolist() == [True], (
        "strictly above is left out"
    )
    assert low_perplexity(torch.tensor([0.0, 1e-9, math.nan]).double(), 1.0).tolist() == [True, False, False]


@given(st.integers(0, 1000), st.floats(1, 50), st.floats(1, 50))
def test_a_higher_threshold_never_leaves_out_more(seed, one, other):
    losses = torch.tensor(np.random.default_rng(seed).gamma(1.0, size=20))
    low, high = sorted((one, other))
    assert bool((low_perplexity(losses, low) <= low_perplexity(losses, high)).all())
    assert low_perplexity(losses, high).tolist() == (np.exp(losses.numpy()) <= high).tolist()


@pytest.mark.parametrize("divide", ["kept", "all"])
@pytest.mark.parametrize("threshold", [20.0, 60.0])
def test_a_run_is_the_masked_loss_in_numpy(tmp_path, divide, threshold):
    rows, start = tiny.rows(24), tiny.tiny()
    base = row_losses(start, rows)
    kept = [np.exp(losses) <= threshold for losses in base]
    share = np.concatenate(kept).mean()
    assert 0 < share < 1
    weights = [mask / share if divide == "kept" else mask.astype(float) for mask in kept]
    trainer = trainer_for(copy.deepcopy(start), tmp_path, rows, micro=4, accumulate=2, max_grad_norm=0.0)
    attach(trainer, LowPerplexity(threshold=threshold, divide=divide))
    steps = batches_of(trainer)
    trainer.train()
    expected = trained_by_hand(copy.deepcopy(start), rows, steps, lambda index, number, losses: weights[number])
    for p, q in zip(trainer.model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-6)


def test_with_the_whole_data_in_a_step_it_is_the_mean_over_the_labels_that_are_left(tmp_path):
    """As the authors train: labels of the tokens left out become -100, and the loss is the mean over the others."""
    rows, start = tiny.rows(8), tiny.tiny()
    masked = []
    for row, losses in zip(rows, row_losses(start, rows), strict=True):
        labels, at = list(row["labels"]), [t for t, y in enumerate(row["labels"]) if y != -100 and t > 0]
        for t, loss in zip(at, losses, strict=True):
            labels[t] = row["labels"][t] if np.exp(loss) <= 60 else -100
        masked.append({**row, "labels": labels})
    ours = trainer_for(copy.deepcopy(start), tmp_path / "ours", rows, micro=8, max_grad_norm=0.0)
    attach(ours, LowPerplexity(threshold=60.0)).train()
    theirs = trainer_for(copy.deepcopy(start), tmp_path / "theirs", masked, micro=8, max_grad_norm=0.0)
    theirs.train()
    assert furthest(ours.model, start) > 1e-3
    assert furthest(ours.model, theirs.model) < 1e-6


def test_with_everything_below_the_threshold_it_is_plain_training(tmp_path):
    rows, start = tiny.rows(8), tiny.tiny()
    ours, plain = (trainer_for(copy.deepcopy(start), tmp_path / name, rows) for name in ("ours", "plain"))
    attach(ours, LowPerplexity(threshold=1e30)).train()
    plain.train()
    assert furthest(ours.model, plain.model) < 1e-6


def test_where_nothing_is_left_it_says_so(tmp_path):
    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(8))
    attach(trainer, LowPerplexity(threshold=1.0))
    with pytest.raises(HoldfastError, match=r"leaves nothing to learn: the least perplexity among the \d+ tokens is"):
        trainer.train()


def test_the_memory_is_learned_in_full_and_does_not_count_among_the_kept(tmp_path):
    rows, old, start = tiny.rows(9), tiny.rows(5, seed=3), tiny.tiny()
    memory = [Example(row["input_ids"], row["labels"]) for row in old]
    trainer = trainer_for(copy.deepcopy(start), tmp_path, rows, max_steps=1)
    attach(trainer, LowPerplexity(threshold=20.0) + Rehearsal("old", ratio=0.4), memories={"old": memory})
    trainer.train()
    losses = np.concatenate(row_losses(start, rows))
    found = trainer.holdfast.state["0.LowPerplexity"]["weight"][: len(losses)]
    np.testing.assert_allclose(found, (np.exp(losses) <= 20) / (np.exp(losses) <= 20).mean(), rtol=1e-6)
