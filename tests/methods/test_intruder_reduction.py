"""New directions on top of the spectrum are weakened, and only those."""

from __future__ import annotations

import copy
import math

import numpy as np
import peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft.tuners.lora.intruders import reduce_intruder_dimension

from holdfast.core.adapters import adapted
from holdfast.core.method import chain
from holdfast.core.mix import Mix
from holdfast.core.params import trainable
from holdfast.core.run import Run
from holdfast.methods.edits.intruder_reduction import IntruderReduction, intruders, reduce_intruders
from holdfast.train.shipping import Shipping
from tests import tiny


def numpys(base, tuned, top, threshold, scale):
    """The paper's reduction, vector by vector, from eigenvectors instead of an SVD."""
    known = (
        np.linalg.eigh(base @ base.T)[1]
        if base.shape[0] <= base.shape[1]
        else np.linalg.svd(base)[0][:, : base.shape[1]]
    )
    u, s, v = np.linalg.svd(tuned)
    found = tuned.copy()
    for i in range(min(top, len(s))):
        if max(abs(float(known[:, j] @ u[:, i])) for j in range(known.shape[1])) < threshold:
            found -= (1 - scale) * s[i] * np.outer(u[:, i], v[i])
    return found


@given(
    st.integers(0, 10_000),
    st.sampled_from([(6, 9), (9, 6), (7, 7), (1, 5), (5, 1)]),
    st.integers(1, 12),
    st.sampled_from([0.3, 0.6, 0.9]),
    st.floats(0, 2),
)
def test_it_is_the_papers_reduction_in_numpy(seed, shape, top, threshold, scale):
    generator = np.random.default_rng(seed)
    base = generator.normal(size=shape)
    tuned = base + 0.7 * generator.normal(size=shape)
    found = reduce_intruders(torch.tensor(base), torch.tensor(tuned), top, threshold, scale)
    np.testing.assert_allclose(found, numpys(base, tuned, top, threshold, scale), rtol=0, atol=1e-9)


def planted(strength):
    """A base with known singular vectors, and a direction that is spread evenly over all of them."""
    base = torch.diag(torch.arange(16.0, 0.0, -1.0, dtype=torch.float64))
    u = torch.full((16,), 0.25, dtype=torch.float64)
    v = torch.where(torch.arange(16) % 2 == 0, 0.25, -0.25).double()
    return base, base + strength * torch.outer(u, v)


def test_a_planted_intruder_is_found_and_taken_away_wholly_at_zero():
    base, tuned = planted(1000.0)
    u, s, v = intruders(base, tuned, 1, 0.6)
    assert u.shape == (16, 1)
    assert v.shape == (1, 16)
    assert float(s) == pytest.approx(1000.0, rel=1e-3)
    assert float(u.abs().min()) > 0.24
    left = reduce_intruders(base, tuned, 1, 0.6, 0.0)
    assert float((left - base).norm()) < 1.5 * float(base.norm())
    assert float(torch.linalg.svdvals(left)[-1]) < 1e-9
    half = reduce_intruders(base, tuned, 1, 0.6, 0.5)
    assert float(torch.linalg.svdvals(half)[0]) == pytest.approx(float(s) / 2, rel=1e-9)
    torch.testing.assert_close(half, (tuned + left) / 2)


def test_what_has_a_near_partner_is_left_to_the_bit():
    base, _ = planted(0.0)
    for tuned in (1.5 * base, base + torch.eye(16, dtype=torch.float64), base.clone()):
        assert intruders(base, tuned, 10, 0.6)[1].numel() == 0
        assert torch.equal(reduce_intruders(base, tuned, 10, 0.6, 0.0), tuned)


def test_only_the_largest_are_looked_at():
    base, tuned = planted(0.01)  # the new direction is below all that the base has
    assert intruders(base, tuned, 10, 0.6)[1].numel() == 0
    base, tuned = planted(1000.0)
    assert intruders(base, tuned, 16, 1.0)[1].numel() == 16
    assert intruders(base, tuned, 3, 1.0)[1].numel() == 3


def test_zero_and_no_numbers_and_no_change_leave_the_weight():
    zero = torch.zeros(4, 3)
    assert torch.equal(reduce_intruders(zero, zero, 10, 0.6, 0.0), zero)
    assert reduce_intruders(torch.ones(4, 3), zero, 10, 1.0, 0.0).tolist() == zero.tolist()
    for bad in (math.nan, math.inf):
        broken = torch.full((4, 3), bad)
        assert reduce_intruders(torch.ones(4, 3), broken, 10, 0.6, 0.0) is broken
        found = torch.ones(4, 3)
        assert reduce_intruders(broken, found, 10, 0.6, 0.0) is found
    assert IntruderReduction(scale=1.0).off
    assert IntruderReduction(threshold=0.0).off


def test_a_stack_is_taken_matrix_by_matrix_and_half_a_precision_is_kept():
    generator = torch.Generator().manual_seed(1)
    base, tuned = (torch.randn(3, 6, 5, generator=generator) for _ in range(2))
    found = reduce_intruders(base, tuned, 4, 0.8, 0.3)
    for i in range(3):
        torch.testing.assert_close(found[i], reduce_intruders(base[i], tuned[i], 4, 0.8, 0.3))
    assert not torch.equal(found, tuned)
    assert reduce_intruders(base.bfloat16(), tuned.bfloat16(), 4, 0.8, 0.3).dtype == torch.bfloat16


def test_only_matrices_of_layers_are_edited_and_those_of_gpt2_the_right_way_round():
    generator = torch.Generator().manual_seed(2)
    base, tuned = (torch.randn(6, 9, generator=generator, dtype=torch.float64) for _ in range(2))
    method = IntruderReduction(top=3, threshold=0.9, scale=0.2)
    assert method.edit_weights({}, "model.embed_tokens.weight", base, tuned) is tuned
    assert method.edit_weights({}, "model.layers.0.norm.weight", base[0], tuned[0]).equal(tuned[0])
    plain = method.edit_weights({}, "model.layers.0.q_proj.weight", base, tuned)
    torch.testing.assert_close(plain, reduce_intruders(base, tuned, 3, 0.9, 0.2))
    model = tiny.tiny("gpt2")
    for shaped in (model, peft.get_peft_model(copy.deepcopy(model), peft.LoraConfig(target_modules=["c_attn"]))):
        state = method.init_state(Run(shaped, Mix(()), 0, 0))
        turned = method.edit_weights(state, "transformer.h.0.attn.c_attn.weight", base.T, tuned.T)
        torch.testing.assert_close(turned, plain.T)
    assert len(state["turned"]) == 8


@pytest.mark.parametrize("scale", [0.0, 0.75])
def test_on_an_adapter_it_is_pefts_reduction(scale):
    model = peft.get_peft_model(tiny.tiny(), peft.LoraConfig(r=3, target_modules=["q_proj", "down_proj", "up_proj"]))
    generator = torch.Generator().manual_seed(3)
    for p in trainable(model).values():
        p.data.add_(torch.randn(p.shape, dtype=p.dtype, generator=generator))
    expected = copy.deepcopy(model)
    reduce_intruder_dimension(expected, top_k=10, threshold_epsilon=0.6, mitigation_lambda=scale, logging_sink=None)
    recipe = chain(IntruderReduction(scale=scale))
    before = {one.name: one.tuned() for one in adapted(model)}
    shipped, _ = Shipping(model, recipe).ship(recipe.init_state(Run(model, Mix(()), 0, 0)))
    added = {one.name: one.layers[0].get_delta_weight("intruder_reduced").detach() for one in adapted(expected)}
    moved = 0.0
    for one in adapted(shipped):
        torch.testing.assert_close(one.tuned(), one.param.data + added[one.name], rtol=0, atol=1e-9)
        moved = max(moved, float((one.tuned() - before[one.name]).norm()))
    assert moved > 0.1
