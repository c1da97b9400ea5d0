"""Drop at random and rescale."""

from __future__ import annotations

import numpy as np
import torch

from holdfast.core.mix import Mix
from holdfast.core.run import Run
from holdfast.methods.edits.dare import DARE, dare


def state_of(method, seed=0):
    return method.init_state(Run(torch.nn.Identity(), Mix(()), seed, 1, None, None))


def test_it_is_the_formula_on_the_mask_that_was_drawn():
    base, tuned = (torch.randn(8, 9, dtype=torch.float64) for _ in range(2))
    found = dare(base, tuned, 0.3, torch.Generator().manual_seed(5))
    mask = (torch.rand(8, 9, generator=torch.Generator().manual_seed(5)) < 0.3).numpy()
    np.testing.assert_allclose(found, base + mask * (tuned - base).numpy() / 0.3, rtol=1e-12)


def test_the_share_is_kept_and_the_mean_change_stays():
    base, tuned = torch.zeros(200_000, dtype=torch.float64), torch.ones(200_000, dtype=torch.float64)
    found = dare(base, tuned, 0.1, torch.Generator().manual_seed(0))
    assert set(found.unique().tolist()) == {0.0, 10.0}
    assert abs(float((found > 0).double().mean()) - 0.1) < 0.003
    assert abs(float(found.mean()) - 1.0) < 0.03


def test_each_tensor_run_and_seed_has_a_mask_of_its_own_and_a_second_look_the_same():
    base, tuned = torch.zeros(500), torch.ones(500)

    def kept(method, name="w", seed=0):
        return method.edit_weights(state_of(method, seed), name, base, tuned) > 0

    assert torch.equal(kept(DARE(keep=0.5)), kept(DARE(keep=0.5)))
    for other in (kept(DARE(keep=0.5), "v"), kept(DARE(keep=0.5), seed=1), kept(DARE(keep=0.5, seed=1))):
        assert not torch.equal(kept(DARE(keep=0.5)), other)


def test_all_of_it_is_off_and_torchs_random_state_is_left_alone():
    assert DARE(keep=1.0).off
    before = torch.get_rng_state()
    method = DARE()
    method.edit_weights(state_of(method), "w", torch.zeros(9), torch.ones(9))
    assert torch.equal(torch.get_rng_state(), before)
