"""Trim, elect, merge."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.methods.edits.fapm import fapm
from holdfast.methods.edits.ties import TIES, ties, trim


def algorithm(deltas, keep):
    """Algorithm 1 of the paper in numpy, per tensor."""
    trimmed = []
    for delta in deltas:
        kept = np.argsort(-np.abs(delta), kind="stable")[: int(delta.size * keep)]
        trimmed.append(np.where(np.isin(np.arange(delta.size), kept), delta, 0.0))
    trimmed = np.array(trimmed)
    sign = np.sign(trimmed.sum(0))
    found = np.zeros(trimmed.shape[1])
    for i in range(trimmed.shape[1]):
        agreeing = [row[i] for row in trimmed if row[i] != 0 and np.sign(row[i]) == sign[i]]
        found[i] = np.mean(agreeing) if agreeing else 0.0
    return found


@given(st.integers(0, 10_000), st.integers(1, 4), st.floats(0, 1))
def test_it_is_the_papers_algorithm(seed, models, keep):
    deltas = np.random.default_rng(seed).normal(size=(models, 17))
    found = ties([torch.tensor(delta) for delta in deltas], keep)
    np.testing.assert_allclose(found, algorithm(deltas, keep), rtol=1e-12, atol=1e-15)


def test_values_worked_by_hand():
    one, other = torch.tensor([3.0, -1.0, 2.0, 0.5]), torch.tensor([1.0, 4.0, -2.0, 0.1])
    assert trim(one, 0.5).tolist() == [3.0, 0.0, 2.0, 0.0]
    assert ties([one, other], 1.0).tolist() == pytest.approx([2.0, 4.0, 0.0, 0.3])
    assert ties([one, other], 0.5).tolist() == [3.0, 4.0, 0.0, 0.0]


def test_one_run_is_pruned_by_magnitude_as_fapm_without_its_relative_part():
    generator = torch.Generator().manual_seed(0)
    base, tuned = (torch.randn(60, generator=generator, dtype=torch.float64) for _ in range(2))
    found = TIES(keep=0.3).edit_weights({}, "w", base, tuned)
    torch.testing.assert_close(found, fapm(base, tuned, 0.3, relative=0.0))
    doubled = TIES(keep=0.3, scale=2.0).edit_weights({}, "w", base, tuned)
    torch.testing.assert_close(doubled - base, 2 * (found - base))


def test_only_all_of_the_change_at_full_scale_is_off():
    assert TIES(keep=1.0).off
    assert not TIES(keep=1.0, scale=0.5).off
