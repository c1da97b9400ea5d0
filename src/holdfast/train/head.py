"""What a model makes of the units of a batch, before its head where that is plain."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from holdfast.core.head import head_gives
from holdfast.train.units import Inputs, Units


def features_of(wrapped: nn.Module, head: nn.Module, plain: bool, inputs: Inputs, units: Units) -> Tensor:
    """Returns what a model makes of the units of a batch: hidden states `[N, D]` before a plain head, else logits.

    Args:
        wrapped: The model as the trainer calls it.
        head: Its head.
        plain: Whether that is a linear layer whose output the logits are.
        inputs: The batch.
        units: Its units.
    """
    if not plain:
        return wrapped(**without_labels(inputs)).logits[units.scored_BT]  # type: ignore[no-any-return]
    with head_gives(head, lambda hidden_BTD: hidden_BTD[units.scored_BT]):
        return wrapped(**without_labels(inputs)).logits  # type: ignore[no-any-return]


def without_labels(inputs: Inputs) -> dict[str, Any]:
    """Returns what a model is called with where its own loss is not wanted."""
    return {**{name: value for name, value in inputs.items() if name != "labels"}, "use_cache": False}
