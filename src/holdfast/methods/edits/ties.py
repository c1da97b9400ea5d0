"""TIES: keep the largest changes; where several models are merged, those that agree in sign."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from holdfast.core.largest import largest
from holdfast.core.method import Method, State
from holdfast.core.settings import setting
from holdfast.methods.edits.delta import wide


def trim(delta: Tensor, keep: float) -> Tensor:
    """Returns the change with all but the `int(entries * keep)` largest entries set to 0."""
    return torch.where(largest(delta.abs(), int(delta.numel() * keep)), delta, 0.0)


def ties(deltas: Sequence[Tensor], keep: float) -> Tensor:
    """Returns the merged change of several models, all of one shape: trimmed, sign elected, and the disjoint mean.

    Each entry takes the sign of the sum of the trimmed changes, and the mean of those that have this sign; where
    nothing is left, or they cancel, it is 0.

    Args:
        deltas: Changes since the common base, at least one.
        keep: Share of the entries of each that is kept.
    """
    trimmed = torch.stack([trim(delta, keep) for delta in deltas])
    agrees = (trimmed.sign() == trimmed.sum(0).sign()) & (trimmed != 0)
    return torch.where(agrees, trimmed, 0.0).sum(0) / agrees.sum(0).clamp(min=1)


@dataclasses.dataclass(frozen=True, repr=False)
class TIES(Method):
    """Takes back all but the largest changes of each tensor, and scales what is left.

        theta = theta_0 + scale * tau',   tau' = tau where |tau| is among the top k of its tensor, else 0

    tau is what training added to the base theta_0, k = int(entries * keep). With the change of one run there is no
    sign to elect and nothing to merge: of Trim, Elect Sign and Merge only the first acts. The function `ties` does all
    three for several changes.

    Args:
        keep: Share of the entries of each tensor whose change is kept; the paper keeps 20%.
        scale: Factor on what is kept (the paper's lambda).

    Reference:
        Yadav, Tam, Choshen, Raffel, Bansal, TIES-Merging: Resolving Interference When Merging Models, 2023, arXiv
        2306.01708, algorithm 1.

    Confidence:
        code: The authors' code was read.

    Cost:
        A top-k after training. And a copy of the trained weights while training.

    Departs:
        One run has one change, so this is magnitude pruning (FAPM with relative = 0, and a scale). The top k is taken
        per tensor as PEFT does, where the paper takes it over the whole model (as we remember it).
    """

    keep: float = setting(0.2, unit="share of entries", low=0.0, high=1.0, search=(0.05, 0.9), log=True)
    scale: float = setting(1.0, unit="factor on the change", low=0.0, high=3.0, search=(0.3, 1.5))

    @property
    def off(self) -> bool:
        """Whether the tuned weights are shipped as they are."""
        return self.keep == 1.0 and self.scale == 1.0

    def edit_weights(self, state: State, name: str, base: Tensor, tuned: Tensor) -> Tensor:
        """Returns the base plus what is left of the change."""
        base, wide_tuned = wide(base, tuned)
        return (base + self.scale * ties([wide_tuned - base], self.keep)).to(tuned.dtype)
