"""The losses of samples: the mean of each document, and the median of many."""

from __future__ import annotations

import torch
from torch import Tensor


def median(values: Tensor) -> float:
    """Returns the median of `values` without NaNs (the mean of the two in the middle); NaN if there are none."""
    values = values.detach()[~values.isnan()].double().sort().values
    middle = values[(len(values) - 1) // 2 : len(values) // 2 + 1]
    return float(middle.mean())


def sample_means(values_N: Tensor, document_N: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the mean value of each document, `[D]`, and for each value the index of its document, `[N]`."""
    numbers_D, place_N = document_N.unique(return_inverse=True)
    sums_D = values_N.new_zeros(len(numbers_D), dtype=torch.float64).index_add_(0, place_N, values_N.double())
    return sums_D / torch.bincount(place_N, minlength=len(numbers_D)), place_N
