"""LoRA+: the factor B of an adapter has a higher learning rate than the factor A."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping
from typing import ClassVar

from torch import nn

from holdfast.core.method import Method
from holdfast.core.settings import setting

logger = logging.getLogger("holdfast")


def lora_plus(names: Iterable[str], times: float = 16.0) -> dict[str, float]:
    """Returns `times` for the name of each B of a LoRA adapter, on linear layers and on embeddings."""
    return {name: times for name in names if {"lora_B", "lora_embedding_B"} & set(name.split("."))}


@dataclasses.dataclass(frozen=True, repr=False)
class LoRAPlus(Method):
    """Trains the B of each adapter faster than its A.

        lr_B = times * lr_A,   lr_A = lr        in W' = W + (alpha / rank) * B A

    Args:
        times: lr_B / lr_A (the paper's lambda). Use at least 1, and an lr of about half of that for LoRA alone.

    Reference:
        Hayou, Ghosh, Yu, LoRA+: Efficient Low Rank Adaptation of Large Models, 2024, arXiv 2402.12354.

    Confidence:
        code: The rule is that of the authors' code, which has no default ratio; other tools use 16.

    Cost:
        Nothing.

    Departs:
        Only B has the higher rate. PEFT's optimizer also raises the rate of every trained vector (norms, biases), and
        gives adapters of embeddings a fixed rate of 1e-6. The trainer's weight decay is unchanged. Published training
        code recommends 16 (we did not read this in the paper). LoRA+ was published for faster learning; we know of no
        measurement of forgetting. Without an adapter it does nothing and logs a warning.
    """

    times: float = setting(16.0, unit="lr_B / lr_A", low=0.0, search=(1.0, 32.0), log=True)

    once: ClassVar[str] = "two of them would multiply; raise times instead."

    @property
    def off(self) -> bool:
        """Whether both factors have the same learning rate."""
        return self.times == 1.0

    def group_params(self, params: Mapping[str, nn.Parameter]) -> dict[str, float]:
        """Returns `lora_plus` of the trained parameters."""
        factors = lora_plus(params, self.times)
        if not factors:
            logger.warning("%r does nothing here: no LoRA adapter is trained; add LoRA() to the recipe.", self)
        return factors
