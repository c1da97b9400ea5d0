"""float64 on every device that has it."""

from __future__ import annotations

import torch

from holdfast.core import exact


def test_numbers_are_exact_on_the_device_or_on_the_cpu():
    assert exact.widest(torch.device("cpu")) == exact.widest(torch.device("cuda")) == torch.float64
    assert exact.widest(torch.device("mps")) == torch.float32
    assert exact.exactly(torch.ones(2)).dtype == torch.float64
