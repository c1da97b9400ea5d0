"""The learning rate that follows how typical the tokens are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from holdfast.core.errors import HoldfastError
from holdfast.core.run import Step
from holdfast.core.tokens import Tokens
from holdfast.methods.schedules.finch import Finch
from holdfast.methods.schedules.token_quality import TokenQuality, token_quality

TYPICAL = {"typicality_N": 1.0, "base_typicality_N": 1.0}


def factors(method, means):
    """The factors of a run whose steps have these means."""
    state = method.init_state(None)
    return [method.scale_lr(state, Step(i, len(means), mean, {}, None)) for i, mean in enumerate(means)]


def tokens_of(logits, labels, base=None):
    zeros = torch.zeros(len(labels), dtype=torch.int64)
    return Tokens(logits, torch.tensor(labels), zeros, zeros, base_logits_NV=base)


def test_typicality_is_the_surprise_beyond_the_entropy_in_numpy():
    generator = np.random.default_rng(0)
    logits, base = (torch.tensor(generator.normal(size=(50, 9)) * 3) for _ in range(2))
    labels = generator.integers(0, 9, 50).tolist()
    tok = tokens_of(logits, labels, base)
    for found, given_ in ((tok.typicality_N, logits), (tok.base_typicality_N, base)):
        p = np.exp(given_.numpy() - np.log(np.exp(given_.numpy()).sum(1, keepdims=True)))
        surprise = -np.log(p[np.arange(50), labels])
        expected = np.exp(-np.maximum(0, surprise - stats.entropy(p, axis=1)))
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_what_may_be_anything_is_typical_and_what_contradicts_is_not():
    nothing_known, certain = torch.zeros(1, 8, dtype=torch.float64), torch.tensor([[20.0] + [0.0] * 7]).double()
    assert float(tokens_of(nothing_known, [3]).typicality_N) == 1.0, "as unlikely as it is"
    assert float(tokens_of(certain, [0]).typicality_N) == pytest.approx(1.0)
    assert float(tokens_of(certain, [3]).typicality_N) < 1e-8


def test_it_goes_slowly_where_finch_does_not_and_the_other_way_round():
    """Nothing is known: a high loss, no contradiction. A confident base is contradicted now and then: a lower loss."""
    unknown = {"nll_N": 4.0, **TYPICAL}
    against = {"nll_N": 1.0, "typicality_N": 0.3, "base_typicality_N": 0.2}
    quality, finch = (factors(method, [unknown])[0] for method in (TokenQuality(), Finch()))
    assert quality == pytest.approx(1.0)
    assert quality > finch
    quality, finch = (factors(method, [against])[0] for method in (TokenQuality(), Finch()))
    assert quality < 0.4 < finch


def test_a_run_worked_by_hand():
    half = {"typicality_N": 0.25, "base_typicality_N": 1.0}
    method = TokenQuality(base=0.5, power=2.0, floor=0.2, decay=0.5)
    assert factors(method, [half, TYPICAL]) == pytest.approx([0.2 + 0.8 * 0.25, 0.2 + 0.8 * 0.75**2])
    assert factors(TokenQuality(base=0.0, floor=0.0), [half]) == pytest.approx([0.25])
    assert factors(TokenQuality(base=1.0, floor=0.0), [half]) == pytest.approx([1.0])
    assert factors(TokenQuality(power=0.0), [half]) == pytest.approx([1.0])
    assert factors(TokenQuality(floor=1.0), [half]) == pytest.approx([1.0])


def test_steps_without_new_tokens_leave_the_average_alone():
    gone = {"typicality_N": math.nan, "base_typicality_N": math.nan}
    found = factors(TokenQuality(), [gone, {"typicality_N": 0.5, "base_typicality_N": 0.5}, gone])
    assert found[0] == 1.0
    assert found[1] == found[2] == pytest.approx(0.1 + 0.9 * 0.5)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 3), st.floats(0, 1))
def test_the_factor_lies_between_the_floor_and_one(tuned, base, share, power, floor):
    method = TokenQuality(base=share, power=power, floor=floor)
    (factor,) = factors(method, [{"typicality_N": tuned, "base_typicality_N": base}])
    assert floor - 1e-12 <= factor <= 1 + 1e-12
    assert 0 <= token_quality(tuned, base, share) <= 1


def test_beside_finch_it_is_refused():
    with pytest.raises(HoldfastError, match="choose one"):
        TokenQuality() + Finch()
