"""FAPM: of what training changed, keep what is large and small beside the weight it changed."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from holdfast.core.method import Method, State
from holdfast.core.settings import setting
from holdfast.core.top_entries import largest
from holdfast.methods.delta import wide


def fapm_score(base: Tensor, tuned: Tensor, relative: float = 1.0) -> Tensor:
    """Returns `|dW| - relative * mean|W| * |dW| / |W|` per entry, in float32 or wider; minus infinity where W is 0."""
    base, tuned = wide(base, tuned)
    size = (tuned - base).abs()
    score = size - relative * base.abs().mean() * (size / base.abs())
    return torch.where(base == 0, -torch.inf, score)


def fapm(base: Tensor, tuned: Tensor, keep: float, relative: float = 1.0) -> Tensor:
    """Returns the tuned weight where the score is among the highest of its tensor, and the base's elsewhere.

    Args:
        base: Weights of the base, W.
        tuned: Weights after training, W + dW.
        keep: Share of the entries whose change is kept; `int(entries * keep)` of them.
        relative: How much a change that is large beside its weight counts against itself.
    """
    kept = largest(fapm_score(base, tuned, relative), int(base.numel() * keep))
    return torch.where(kept, tuned, base.to(tuned.dtype))


@dataclasses.dataclass(frozen=True, repr=False)
class FAPM(Method):
    """Takes back most of what training changed, and first what changed much beside the weight it changed.

        S = |dW| - lambda * |dW| / |W|,   lambda = relative * mean|W|,   W' = W + dW * [S among the top k]

    W is a tensor of the base, dW what training added, k = int(entries * keep); mean and top k are per tensor. S is
    negative where |W| is below the tensor's mean, so what is kept are large changes of large weights.

    Args:
        keep: Share of the entries of each tensor whose change is kept; the paper's sparsity is 1 - keep.
        relative: Factor on lambda; 0 keeps the largest changes, whatever they change.

    Reference:
        Huang, Cheng, Wang, Mitigating Catastrophic Forgetting in Large Language Models with Forgetting-aware Pruning,
        2025, arXiv 2509.08255; the score from five lines of the authors' code as an implementer quotes them.

    Confidence:
        code: The authors' lines as an implementer quotes them; results from the abstract.

    Cost:
        A top-k after training. And a copy of the trained weights while training.

    Departs:
        Where W is 0 the relative change has no bound, and the change is never kept (the authors' code gives NaN where
        dW is 0 too). So a tensor that is all zeros in the base stays so, and fewer than k may be kept. Of equal scores
        the first in the tensor are kept. Every trained tensor is pruned, norms and biases included.
    """

    keep: float = setting(0.1, unit="share of entries", low=0.0, high=1.0, search=(0.01, 0.5), log=True)
    relative: float = setting(1.0, unit="1", low=0.0, search=(0.1, 2.0))

    @property
    def off(self) -> bool:
        """Whether the tuned weights are shipped as they are."""
        return self.keep == 1.0

    def edit_weights(self, state: State, name: str, base: Tensor, tuned: Tensor) -> Tensor:
        """Returns the pruned weight."""
        return fapm(base, tuned, self.keep, self.relative)
