"""DoRA: a low-rank change of the direction of each weight, with separately trained lengths."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import nn

from holdfast.core.run import Run
from holdfast.core.settings import setting
from holdfast.methods.adapter import Adapter
from holdfast.methods.factors import lora_by


@dataclasses.dataclass(frozen=True, repr=False)
class DoRA(Adapter):
    """Trains a low-rank direction, and a length per row.

    Freezes the model and trains, through PEFT, a low-rank change of direction and a length for each row.

        W' = m * (W + (alpha / rank) B A) / ||W + (alpha / rank) B A||,    m = ||W|| at the start

    The norm is per row (output), so each row has its own m. Lengths and directions learn at their own pace, as in full
    fine-tuning.

    Args:
        rank: Rank of the change of direction.
        alpha: Scale of the change; 2 * rank if absent.
        dropout: Dropout on the adapter's input.
        targets: As for LoRA: "all-linear", "mlp", "attention", or module name endings separated by commas.

    Reference:
        Liu et al., DoRA: Weight-Decomposed Low-Rank Adaptation, 2024, arXiv 2402.09353, eq. 5.

    Confidence:
        code: We read PEFT's code, but not the paper.

    Cost:
        As LoRA, and a norm of every weight. Each forward computes it again.

    Departs:
        No gradient flows through the norm (the paper's own saving, section 4.3). Dropout masks only the low-rank part,
        as in PEFT. The method does not support the stacked experts of a mixture. In PEFT's only published comparison
        DoRA forgets as much as LoRA of the same rank.
    """

    rank: int = setting(16, unit="1", low=1, integer=True, search=(4, 256), log=True)
    alpha: float | None = setting(None, unit="1", low=0.0)
    dropout: float = setting(0.0, unit="probability", low=0.0, high=0.99, search=(0.0, 0.2))
    targets: str = setting("all-linear", unit="module names")

    on_frozen: ClassVar[bool] = True

    def shape_model(self, run: Run) -> nn.Module:
        """Returns the PEFT model.

        Raises:
            HoldfastError: The model already has an adapter, or `targets` matches nothing.
        """
        model: nn.Module = lora_by(run, self, use_dora=True)
        return model
