"""LoRA+: the second factor of an adapter learns faster than the first."""

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
    """Returns `times` for the name of each B of a LoRA adapter (of linear layers and of embeddings), nothing else."""
    return {name: times for name in names if {"lora_B", "lora_embedding_B"} & set(name.split("."))}


@dataclasses.dataclass(frozen=True, repr=False)
class LoRAPlus(Method):
    """Gives the B of each LoRA adapter a higher learning rate than its A.

        lr_B = times * lr_A,   lr_A = lr        in W' = W + (alpha / rank) * B A

    Args:
        times: lr_B / lr_A (the paper's lambda); at least 1 is advised, and an lr about half of what LoRA alone takes.

    Reference:
        Hayou, Ghosh, Yu, LoRA+: Efficient Low Rank Adaptation of Large Models, 2024, arXiv 2402.12354.

    Confidence:
        code: The rule in the authors' code, which has no default ratio; 16 is what other tools take.

    Cost:
        Nothing.

    Departs:
        Only B is sped up: PEFT's optimizer does so with every trained vector too (norms, biases), and gives adapters of
        embeddings a fixed rate of 1e-6. Weight decay stays as the trainer has it. 16 is the value that
        published training code recommends (not read in the paper). Published for faster learning; we know of no
        measurement of forgetting. Without an adapter it does nothing, and says so.
    """

    times: float = setting(16.0, unit="lr_B / lr_A", low=0.0, search=(1.0, 32.0), log=True)

    once: ClassVar[str] = "two of them would multiply; raise times instead."

    @property
    def off(self) -> bool:
        """Whether both factors learn alike."""
        return self.times == 1.0

    def group_params(self, params: Mapping[str, nn.Parameter]) -> dict[str, float]:
        """Returns `lora_plus` of the trained parameters."""
        factors = lora_plus(params, self.times)
        if not factors:
            logger.warning("%r does nothing here: no LoRA adapter is trained; add LoRA() to the recipe.", self)
        return factors
