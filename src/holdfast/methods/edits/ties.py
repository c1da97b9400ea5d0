"""TIES: keep the largest changes; when merging several models, keep those that agree in sign."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from holdfast.core.blocks import Index, choose, wide
from holdfast.core.method import Method, State
from holdfast.core.run import Run
from holdfast.core.settings import setting
from holdfast.core.top_entries import largest, largest_in_blocks
from holdfast.methods import other_runs


def trim(delta: Tensor, keep: float) -> Tensor:
    """Returns the change with all but the `int(entries * keep)` largest entries set to 0."""
    return torch.where(largest(delta.abs(), int(delta.numel() * keep)), delta, 0.0)


def ties(deltas: Sequence[Tensor], keep: float) -> Tensor:
    """Returns the merged change of several models, all of one shape: trim, elect the sign, take the disjoint mean.

    Each entry takes the sign of the sum of the trimmed changes, and the mean of the changes with that sign. It is 0 if
    no change is left, or if they cancel.

    Args:
        deltas: Changes since the common base, at least one.
        keep: Share of the entries of each change that is kept.
    """
    if len(deltas) == 1:  # no sign to elect, and nothing to merge
        return trim(deltas[0], keep)
    trimmed = torch.stack([trim(delta, keep) for delta in deltas])
    agrees = (trimmed.sign() == trimmed.sum(0).sign()) & (trimmed != 0)
    return torch.where(agrees, trimmed, 0.0).sum(0) / agrees.sum(0).clamp(min=1)


def _trimmed(base: Tensor, tuned: Tensor, keep: float, scale: float) -> Tensor:
    """Returns `base + scale * trim(tuned - base, keep)` in the dtype of `tuned`, block by block."""
    edited = torch.empty(tuned.shape, dtype=tuned.dtype, device=tuned.device)
    flat, base, tuned = edited.view(-1), base.reshape(-1), tuned.reshape(-1)

    def change(index: Index) -> Tensor:
        start, end = wide(base[index], tuned[index])
        return end - start

    count = int(len(flat) * keep)
    for rows, kept in largest_in_blocks(lambda index: change(index).abs_(), len(flat), count, flat.device):
        flat[rows] = choose(kept, change(rows)).mul_(scale).add_(base[rows])
    return edited


@dataclasses.dataclass(frozen=True, repr=False)
class TIES(Method):
    """Keeps the largest changes that agree in sign.

    Keeps the largest changes of each tensor, with several runs only those that agree in sign, and scales them.

        theta = theta_0 + scale * tau',   tau'_i = mean of the trimmed tau_k,i that have the sign of their sum

    tau_k is the change that run k made to the base theta_0, trimmed to its int(entries * keep) largest entries. The
    first run is this one; the others are in the folders `models`. Without others there is no sign to elect and nothing
    to merge, so only Trim acts, without Elect Sign and Merge. Small changes harm the other tasks more than they help
    their own.

    Args:
        keep: Share of the entries of each tensor whose change is kept; the paper keeps 20%.
        scale: Factor on the kept changes (the paper's lambda).
        models: Folders of models from the same base that were saved whole, separated by commas.

    Reference:
        Yadav, Tam, Choshen, Raffel, Bansal, TIES-Merging: Resolving Interference When Merging Models, 2023, arXiv
        2306.01708, algorithm 1.

    Confidence:
        code: We read the authors' code.

    Cost:
        A top-k after training. Also a copy of the trained weights during training.

    Departs:
        With one run the method is magnitude pruning (FAPM with relative = 0, and a scale). The top k is per tensor, as
        in PEFT; in the paper it is over the whole model (from memory). Where two changes cancel exactly, nothing is
        kept. Only weights that this run trained are merged; frozen weights stay those of the base.
    """

    keep: float = setting(0.2, unit="share of entries", low=0.0, high=1.0, search=(0.05, 0.9), log=True)
    scale: float = setting(1.0, unit="factor on the change", low=0.0, high=3.0, search=(0.3, 1.5))
    models: str = setting("", unit="folders")

    @property
    def off(self) -> bool:
        """Whether the tuned weights are shipped unchanged."""
        return self.keep == 1.0 and self.scale == 1.0 and not other_runs.folders(self.models)

    def init_state(self, run: Run) -> State:
        """Checks that the folders have the weights; returns an empty state.

        Raises:
            HoldfastError: A folder does not have them.
        """
        other_runs.check(repr(self), other_runs.folders(self.models), run.model)
        return {}

    def edit_weights(self, state: State, name: str, base: Tensor, tuned: Tensor) -> Tensor:
        """Returns the base plus the merged changes."""
        folders = other_runs.folders(self.models)
        if not folders:
            return _trimmed(base, tuned, self.keep, self.scale)
        base, wide_tuned = wide(base, tuned)
        weights = (other_runs.weight(repr(self), folder, name, wide_tuned) for folder in folders)
        merged = ties([weight - base for weight in (wide_tuned, *weights)], self.keep)
        return merged.mul_(self.scale).add_(base).to(tuned.dtype)  # in place, as a tensor may be a large one
