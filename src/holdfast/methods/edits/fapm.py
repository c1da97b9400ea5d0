"""FAPM: keep changes that are large in absolute terms but small relative to the weight."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from holdfast.core.blocks import Index, blocks, choose, wide
from holdfast.core.method import Method, State
from holdfast.core.settings import setting
from holdfast.core.top_entries import largest_in_blocks


def fapm_score(base: Tensor, tuned: Tensor, relative: float = 1.0) -> Tensor:
    """Returns `|dW| - relative * mean|W| * |dW| / |W|` per entry, in float32 or wider; minus infinity where W is 0."""
    return _score(base, tuned, relative * _mean_size(base))


def _mean_size(weight: Tensor) -> float:
    """Returns the mean size of the entries, block by block."""
    flat = weight.reshape(-1)
    sizes = (wide(flat[rows])[0].abs().sum() for rows in blocks(len(flat), flat.device))
    return sum(map(float, sizes)) / max(len(flat), 1)


def _score(base: Tensor, tuned: Tensor, least: float) -> Tensor:
    """Returns `|dW| * (1 - least / |W|)`; minus infinity where W is 0."""
    start, end = wide(base, tuned)
    size, change = start.abs(), (end - start).abs_()
    score = torch.div(-least, size).add_(1.0).mul_(change)
    # Masks take longer than the arithmetic, and few tensors hold a 0.
    return score.masked_fill_(size == 0, -torch.inf) if size.numel() and not bool(size.amin() > 0) else score


def fapm(base: Tensor, tuned: Tensor, keep: float, relative: float = 1.0) -> Tensor:
    """Returns the tuned weight where the score is among the highest of its tensor, and the base weight elsewhere.

    Args:
        base: Weights of the base, W.
        tuned: Weights after training, W + dW.
        keep: Share of the entries whose change is kept; `int(entries * keep)` of them.
        relative: Factor of the deduction for changes that are large relative to their weight.
    """
    edited = torch.empty(tuned.shape, dtype=tuned.dtype, device=tuned.device)
    flat, base, tuned = edited.view(-1), base.reshape(-1), tuned.reshape(-1)
    least = relative * _mean_size(base)

    def score(index: Index) -> Tensor:
        return _score(base[index], tuned[index], least)

    for rows, kept in largest_in_blocks(score, len(flat), int(len(flat) * keep), flat.device):
        flat[rows] = choose(kept, tuned[rows], base[rows].to(tuned.dtype))
    return edited


@dataclasses.dataclass(frozen=True, repr=False)
class FAPM(Method):
    """Reverts most changes, relatively large ones first.

    Reverts most changes from training, first those that are large relative to their weight.

        S = |dW| - lambda * |dW| / |W|,   lambda = relative * mean|W|,   W' = W + dW * [S among the top k]

    W is a tensor of the base, dW the change from training, and k = int(entries * keep); mean and top k are per tensor.
    S is negative where |W| is below the tensor's mean, so the method keeps large changes of large weights.

    Args:
        keep: Share of the entries of each tensor whose change is kept; the paper's sparsity is 1 - keep.
        relative: Factor on lambda; 0 keeps the largest changes, whatever the size of their weight.

    Reference:
        Huang, Cheng, Wang, Mitigating Catastrophic Forgetting in Large Language Models with Forgetting-aware Pruning,
        2025, arXiv 2509.08255; the score is from five lines of the authors' code, as quoted by an implementer.

    Confidence:
        code: We read the authors' lines as quoted by an implementer; the results are from the abstract.

    Cost:
        A top-k after training. Also a copy of the trained weights during training.

    Departs:
        Where W is 0 the relative change is unbounded, so the change is never kept (the authors' code gives NaN where dW
        is also 0). A tensor of zeros in the base therefore stays zero, and fewer than k entries may be kept. Among
        equal scores, the first in the tensor are kept. Every trained tensor is pruned, norms and biases included.
    """

    keep: float = setting(0.1, unit="share of entries", low=0.0, high=1.0, search=(0.01, 0.5), log=True)
    relative: float = setting(1.0, unit="1", low=0.0, search=(0.1, 2.0))

    @property
    def off(self) -> bool:
        """Whether the tuned weights are shipped unchanged."""
        return self.keep == 1.0

    def edit_weights(self, state: State, name: str, base: Tensor, tuned: Tensor) -> Tensor:
        """Returns the pruned weight."""
        return fapm(base, tuned, self.keep, self.relative)
