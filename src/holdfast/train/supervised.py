"""The supervised tokens of a micro-batch: their positions, labels, sources and documents."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.mix import NEW
from holdfast.core.token_index import Key, document_keys

Inputs = Mapping[str, Tensor]
"""A batch in the form that the model takes: `input_ids`, `labels`, and optional masks and positions."""

Shown = Mapping[str, Any]
"""The batch that the base reads instead of the micro-batch (see `holdfast.core.run.SHOWN`)."""


@dataclasses.dataclass
class SupervisedTokens:
    """The supervised tokens of a micro-batch, flattened row by row.

    Attributes:
        scored_BT: Bool; `scored[b, t]` if position t predicts a supervised label, the one at t + 1.
        labels_N: The predicted labels, int64.
        source_N: Their source numbers.
        segment_BT: Number of the document at each position, -1 at padding.
    """

    scored_BT: Tensor
    labels_N: Tensor
    source_N: Tensor
    segment_BT: Tensor

    def keys(self, inputs: Inputs) -> list[Key]:
        """Returns the key of each document of the batch; `inputs` must be the batch that `of` took."""
        return document_keys(inputs["input_ids"], inputs["labels"], self.scored_BT, self.segment_BT)

    @classmethod
    def of(cls, inputs: Inputs, source_BT: Tensor | None) -> SupervisedTokens:
        """Returns the supervised tokens of a batch.

        Args:
            inputs: `input_ids`, `labels` and optional masks and positions, `[B, T]` each.
            source_BT: Source number of each position; None if all positions are new.
        """
        labels_BT = inputs["labels"]
        scored_BT = scored_of(labels_BT, inputs.get("attention_mask"))
        labels_N = labels_BT[:, 1:][scored_BT[:, :-1]]
        if source_BT is None:
            source_N = torch.full_like(labels_N, NEW)
        else:
            source_N = source_BT[:, 1:][scored_BT[:, :-1]]
        return cls(scored_BT, labels_N, source_N, _segments(inputs))

    def new_values(self, name: str, parts: list[Tensor]) -> Tensor:
        """Returns the values of a field at the new tokens; for "document_nll", the mean loss of each document.

        Args:
            name: The field.
            parts: Its values at all tokens, chunk by chunk.
        """
        new_N = self.source_N == NEW
        values_N = torch.cat(parts)[new_N] if parts else torch.zeros(0, device=new_N.device)
        if name != "document_nll":
            return values_N
        _, document_N = self.segment_BT[self.scored_BT][new_N].unique(return_inverse=True)
        sums_D = values_N.new_zeros(len(document_N.unique())).index_add_(0, document_N, values_N)
        return sums_D / torch.bincount(document_N)


@dataclasses.dataclass(frozen=True)
class Call:
    """One forward of the models on a batch.

    Attributes:
        wrapped: The model that the forward calls: as the trainer wraps it (DDP and the like), or unwrapped.
        inputs: The batch.
        tokens: Its supervised tokens.
        shown: The batch that the base reads instead.
        bare: Whether this is not a batch of the step. The base then reads every row, without the cache.
    """

    wrapped: nn.Module
    inputs: Inputs
    tokens: SupervisedTokens
    shown: Shown | None = None
    bare: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        """The model's arguments, without labels, because the caller computes the loss."""
        return {**{name: value for name, value in self.inputs.items() if name != "labels"}, "use_cache": False}

    def reading(self, inputs: Inputs) -> Call:
        """Returns this call with other inputs."""
        return dataclasses.replace(self, inputs=inputs, tokens=SupervisedTokens.of(inputs, None))


def scored_of(labels_BT: Tensor, mask_BT: Tensor | None) -> Tensor:
    """Returns a bool mask `[B, T]` of the positions that predict a supervised label; padding predicts none.

    Args:
        labels_BT: Unshifted labels, -100 without supervision.
        mask_BT: Attention mask; None without padding. A mask of another shape (`[B, 1, T, T]`) tells no padding.
    """
    scored_BT = torch.zeros_like(labels_BT, dtype=torch.bool)
    scored_BT[:, :-1] = labels_BT[:, 1:] != -100
    return scored_BT if mask_BT is None or mask_BT.shape != labels_BT.shape else scored_BT & mask_BT.bool()


def _segments(inputs: Inputs) -> Tensor:
    input_ids_BT = inputs["input_ids"]
    mask_BT = inputs.get("attention_mask")
    if mask_BT is not None and mask_BT.shape != input_ids_BT.shape:
        mask_BT = None
    position_ids_BT = inputs.get("position_ids")
    if mask_BT is not None or position_ids_BT is None:
        rows = torch.arange(input_ids_BT.shape[0], device=input_ids_BT.device)[:, None].expand_as(input_ids_BT)
        return rows if mask_BT is None else torch.where(mask_BT.bool(), rows, -1)
    starts = (position_ids_BT == 0).to(torch.int64)
    return (starts.flatten().cumsum(0) - 1).view_as(input_ids_BT)
