"""VeRA: random projections that all layers share, and two trained vectors per layer."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import nn

from holdfast.core.run import Run
from holdfast.core.settings import setting
from holdfast.methods.adapter import Adapter, adapt


@dataclasses.dataclass(frozen=True, repr=False)
class VeRA(Adapter):
    """Trains two vectors per layer on random matrices.

    Freezes the model and trains two vectors per linear layer, on random projections that all layers share.

        W' = W + diag(b) B diag(d) A,    A [rank, in], B [out, rank] frozen,    b = 0 and d = initial at the start

    A and B are drawn once, as large as the largest layer needs, and cut to the size of each layer. PEFT does this.

    Args:
        rank: Rows of A and columns of B.
        initial: Initial value of every entry of d.
        dropout: Dropout on the adapter's input.
        targets: As for LoRA: "all-linear", "mlp", "attention", or module name endings separated by commas.

    Reference:
        Kopiczko, Blankevoort, Asano, VeRA: Vector-based Random Matrix Adaptation, 2024, arXiv 2310.11454, eq. 2.

    Confidence:
        code: We read PEFT's code; the learning rates of the paper are from memory.

    Cost:
        Less than LoRA to store, more to run. Each layer has rank + `out` trained numbers, and A and B are stored once.

    Departs:
        A and B are drawn from the run's seed and shipped with the adapter. Because few numbers are trained, the paper
        uses learning rates of ten times LoRA's or more; set Train(lr=...). Training few numbers does not by itself
        reduce forgetting: in PEFT's only published comparison VeRA forgets twice as much as LoRA and learns less. Under
        "all-linear", stacked experts of a mixture get no adapter.
    """

    rank: int = setting(256, unit="1", low=1, integer=True, search=(64, 1024), log=True)
    initial: float = setting(0.1, unit="1", low=0.0, search=(0.01, 1.0), log=True)
    dropout: float = setting(0.0, unit="probability", low=0.0, high=0.99, search=(0.0, 0.2))
    targets: str = setting("all-linear", unit="module names")

    on_frozen: ClassVar[bool] = True

    def shape_model(self, run: Run) -> nn.Module:
        """Returns the PEFT model.

        Raises:
            HoldfastError: The model already has an adapter, or `targets` matches nothing.
        """
        import peft

        model: nn.Module = adapt(
            run,
            self,
            peft.VeraConfig,
            r=self.rank,
            d_initial=self.initial,
            vera_dropout=self.dropout,
            projection_prng_key=run.seed,
        )
        return model
