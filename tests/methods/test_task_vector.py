"""A multiple of what training changed."""

from __future__ import annotations

import numpy as np
import torch

from holdfast.methods.edits.task_vector import TaskVector
from holdfast.methods.edits.wise_ft import WiSEFT


def test_it_is_task_arithmetic_in_numpy_and_wise_ft_between_nothing_and_one():
    generator = np.random.default_rng(0)
    base, tuned = (torch.tensor(generator.normal(size=(4, 5))) for _ in range(2))
    for scale in (-1.0, 0.0, 0.4, 2.0):
        found = TaskVector(scale=scale).edit_weights({}, "w", base, tuned)
        np.testing.assert_allclose(found, base.numpy() + scale * (tuned.numpy() - base.numpy()), rtol=1e-12)
    one = TaskVector(scale=0.4).edit_weights({}, "w", base, tuned)
    torch.testing.assert_close(one, WiSEFT(alpha=0.4).edit_weights({}, "w", base, tuned))


def test_what_did_not_change_stays_to_the_bit():
    weight = torch.randn(20, generator=torch.Generator().manual_seed(1))
    assert torch.equal(TaskVector(scale=2.5).edit_weights({}, "w", weight, weight.clone()), weight)


def test_a_small_change_of_bfloat16_is_scaled_in_float32():
    base = torch.ones(1, dtype=torch.bfloat16)
    tuned = torch.tensor([1.0078125], dtype=torch.bfloat16)
    assert float(TaskVector(scale=3.0).edit_weights({}, "w", base, tuned)) == 1.0234375
