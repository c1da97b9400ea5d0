"""TIES: keep the largest changes; where several models are merged, those that agree in sign."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from holdfast.core.method import Method, State
from holdfast.core.run import Run
from holdfast.core.settings import setting
from holdfast.core.top_entries import largest
from holdfast.methods import others
from holdfast.methods.delta import wide


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
    """Keeps the largest changes of each tensor, of several runs those that agree in sign, and scales them.

        theta = theta_0 + scale * tau',   tau'_i = mean of the trimmed tau_k,i that have the sign of their sum

    tau_k is what run k added to the base theta_0, trimmed to its int(entries * keep) largest entries. The first is this
    run, the others lie in the folders `models`. Without them there is no sign to elect and nothing to merge: of Trim,
    Elect Sign and Merge only the first acts. Small changes cost the others more than they bring their own task.

    Args:
        keep: Share of the entries of each tensor whose change is kept; the paper keeps 20%.
        scale: Factor on what is kept (the paper's lambda).
        models: Folders of models from the same base that were saved whole, separated by commas.

    Reference:
        Yadav, Tam, Choshen, Raffel, Bansal, TIES-Merging: Resolving Interference When Merging Models, 2023, arXiv
        2306.01708, algorithm 1.

    Confidence:
        code: The authors' code was read.

    Cost:
        A top-k after training. And a copy of the trained weights while training.

    Departs:
        Of one run alone this is magnitude pruning (FAPM with relative = 0, and a scale). The top k is taken per tensor
        as PEFT does, where the paper takes it over the whole model (as we remember it). Where the signs of two changes
        cancel exactly nothing is kept. Only what this run trained is merged: what it froze stays the base's.
    """

    keep: float = setting(0.2, unit="share of entries", low=0.0, high=1.0, search=(0.05, 0.9), log=True)
    scale: float = setting(1.0, unit="factor on the change", low=0.0, high=3.0, search=(0.3, 1.5))
    models: str = setting("", unit="folders")

    @property
    def off(self) -> bool:
        """Whether the tuned weights are shipped as they are."""
        return self.keep == 1.0 and self.scale == 1.0 and not others.folders(self.models)

    def init_state(self, run: Run) -> State:
        """Returns nothing to remember, having looked whether the folders have the weights.

        Raises:
            HoldfastError: One has not.
        """
        others.check(repr(self), others.folders(self.models), run.model)
        return {}

    def edit_weights(self, state: State, name: str, base: Tensor, tuned: Tensor) -> Tensor:
        """Returns the base plus what is left of the changes."""
        base, wide_tuned = wide(base, tuned)
        found = (others.weight(repr(self), folder, name, wide_tuned) for folder in others.folders(self.models))
        deltas = [one - base for one in (wide_tuned, *found)]
        return (base + self.scale * ties(deltas, self.keep)).to(tuned.dtype)
