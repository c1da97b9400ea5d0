"""The listwise loss of a run: ListNet with labels that are nearly certain. Importing it needs sentence-transformers."""

from __future__ import annotations

from typing import Any

from sentence_transformers.cross_encoder.losses import ListNetLoss
from torch import Tensor

CERTAIN = 10.0
"""Factor on the labels: a relevant document then has 99.5% of the target among a hundred others."""


class CertainListNetLoss(ListNetLoss):
    """Softmax cross-entropy over a query's documents.

    ListNet takes the softmax of the labels as its target. With labels of 1 and 0 that is 0.40 for the relevant one of
    five documents, which a difference of 1 between two scores reaches: a base with larger ones would lose them.
    """

    def forward(self, inputs: Any, labels: list[Tensor], prompt: str | None = None, task: str | None = None) -> Any:
        """Returns the mean over the queries, in nats."""
        return super().forward(inputs, [CERTAIN * label for label in labels], prompt=prompt, task=task)
