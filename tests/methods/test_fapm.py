"""Forgetting-aware pruning: what is kept of a change."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.methods.edits.fapm import FAPM, fapm, fapm_score


def authors(base, tuned, keep):
    """The rule in numpy: S = |dW| - mean|W| |dW| / |W|, the top int(n keep) of the tensor."""
    change = tuned - base
    score = np.abs(change) - np.abs(base).mean() * np.abs(change) / np.abs(base)
    kept = np.argsort(-score.ravel(), kind="stable")[: int(score.size * keep)]
    found = base.ravel().copy()
    found[kept] = tuned.ravel()[kept]
    return found.reshape(base.shape)


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_it_is_the_rule_in_numpy(seed, keep):
    generator = np.random.default_rng(seed)
    base, tuned = generator.normal(size=(6, 5)), generator.normal(size=(6, 5))
    np.testing.assert_array_equal(fapm(torch.tensor(base), torch.tensor(tuned), keep), authors(base, tuned, keep))


def test_a_score_worked_by_hand():
    base, tuned = torch.tensor([1.0, 2.0, -3.0]), torch.tensor([2.0, 4.0, -3.0])
    assert fapm_score(base, tuned).tolist() == [1 - 2 * 1, 2 - 2 * 1, 0.0]
    assert fapm_score(base, tuned, relative=0.0).tolist() == [1.0, 2.0, 0.0]
    assert fapm(base, tuned, 0.34).tolist() == [1.0, 4.0, -3.0]


def test_where_the_base_is_zero_no_change_is_kept_and_nothing_becomes_no_number():
    base, tuned = torch.tensor([0.0, 0.0, 1.0, 2.0]), torch.tensor([0.0, 5.0, 1.5, 2.5])
    assert fapm_score(base, tuned)[:2].tolist() == [-math.inf, -math.inf]
    assert fapm(base, tuned, 1.0).tolist() == [0.0, 0.0, 1.5, 2.5]
    zeros = torch.zeros(3)
    assert torch.equal(fapm(zeros, torch.ones(3), 0.9), zeros)


def test_the_ends():
    base, tuned = torch.arange(1.0, 9.0), torch.arange(1.0, 9.0) * 1.5
    assert torch.equal(fapm(base, tuned, 0.0), base)
    assert torch.equal(fapm(base, tuned, 1.0), tuned)
    assert FAPM(keep=1.0).off
    assert not FAPM(keep=0.0).off


def test_a_weight_that_is_no_number_is_not_hidden():
    base, tuned = torch.ones(4), torch.tensor([1.0, math.nan, 2.0, 1.0])
    assert torch.isnan(fapm(base, tuned, 0.25)).sum() == 1


def test_the_scale_of_the_weights_does_not_matter():
    generator = torch.Generator().manual_seed(0)
    base, tuned = (torch.randn(40, generator=generator, dtype=torch.float64) for _ in range(2))
    small, large = fapm(base, tuned, 0.3) != base, fapm(8 * base, 8 * tuned, 0.3) != 8 * base
    assert torch.equal(small, large)
    assert int(small.sum()) == 12
