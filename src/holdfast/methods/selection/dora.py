"""DoRA: a low-rank change of the direction of each weight, and its length beside it."""

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
    """Freezes the model and trains, through PEFT, the direction of each weight in a low rank and its lengths apart.

        W' = m * (W + (alpha / rank) B A) / ||W + (alpha / rank) B A||,    m = ||W|| at the start

    The norm is taken over each output's row, one m for each. Lengths and directions learn at their own pace, as in full
    fine-tuning.

    Args:
        rank: Rank of the change of direction.
        alpha: Its scale; 2 * rank when absent.
        dropout: Dropout on the adapter's input.
        targets: As for LoRA: "all-linear", "mlp", "attention", or module name endings separated by commas.

    Reference:
        Liu et al., DoRA: Weight-Decomposed Low-Rank Adaptation, 2024, arXiv 2402.09353, eq. 5.

    Confidence:
        code: PEFT's code was read; the paper was not.

    Cost:
        As LoRA, and a norm of every weight. It is taken anew in each forward.

    Departs:
        No gradient flows through the norm (the paper's own saving, section 4.3). With a dropout its mask falls on the
        low-rank part alone, as in PEFT. Not for the stacked experts of a mixture. In PEFT's one published comparison it
        forgets as much as LoRA of the same rank.
    """

    rank: int = setting(16, unit="1", low=1, integer=True, search=(4, 256), log=True)
    alpha: float | None = setting(None, unit="1", low=0.0)
    dropout: float = setting(0.0, unit="probability", low=0.0, high=0.99, search=(0.0, 0.2))
    targets: str = setting("all-linear", unit="module names")

    on_frozen: ClassVar[bool] = True

    def shape_model(self, run: Run) -> nn.Module:
        """Returns the PEFT model.

        Raises:
            HoldfastError: The model carries an adapter already, or nothing in it matches `targets`.
        """
        model: nn.Module = lora_by(run, self, use_dora=True)
        return model
