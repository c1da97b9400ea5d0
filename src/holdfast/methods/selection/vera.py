"""VeRA: random projections that all layers share, and two trained vectors at each."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import nn

from holdfast.core.run import Run
from holdfast.core.settings import setting
from holdfast.methods.adapter import Adapter, adapt


@dataclasses.dataclass(frozen=True, repr=False)
class VeRA(Adapter):
    """Freezes the model and trains two vectors at each linear layer, on random projections that all share.

        W' = W + diag(b) B diag(d) A,    A [rank, in], B [out, rank] frozen,    b = 0 and d = initial at the start

    A and B are drawn once, as large as the largest layer needs, and cut to each. Through PEFT.

    Args:
        rank: Rows of A and columns of B.
        initial: What every entry of d is at the start.
        dropout: Dropout on the adapter's input.
        targets: As for LoRA: "all-linear", "mlp", "attention", or module name endings separated by commas.

    Reference:
        Kopiczko, Blankevoort, Asano, VeRA: Vector-based Random Matrix Adaptation, 2024, arXiv 2310.11454, eq. 2.

    Confidence:
        code: PEFT's code was read; the learning rates of the paper are from memory.

    Cost:
        Less than LoRA to keep, more to run. Rank + out numbers are trained for each layer, and A and B kept once.

    Departs:
        A and B are drawn from the run's seed and shipped with the adapter. So few numbers are trained that the paper
        takes learning rates ten times LoRA's or more; set Train(lr=...). Few numbers do not forget less by themselves:
        in PEFT's one published comparison VeRA forgets twice as much as LoRA and learns less. Stacked experts of a
        mixture are left as they are under "all-linear".
    """

    rank: int = setting(256, unit="1", low=1, integer=True, search=(64, 1024), log=True)
    initial: float = setting(0.1, unit="1", low=0.0, search=(0.01, 1.0), log=True)
    dropout: float = setting(0.0, unit="probability", low=0.0, high=0.99, search=(0.0, 0.2))
    targets: str = setting("all-linear", unit="module names")

    on_frozen: ClassVar[bool] = True

    def shape_model(self, run: Run) -> nn.Module:
        """Returns the PEFT model.

        Raises:
            HoldfastError: The model carries an adapter already, or nothing in it matches `targets`.
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
