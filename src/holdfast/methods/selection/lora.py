"""LoRA: train a low-rank change beside frozen weights."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import nn

from holdfast.core.adapters import tuner_layers
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method, Run
from holdfast.core.settings import setting


@dataclasses.dataclass(frozen=True, repr=False)
class LoRA(Method):
    """Freezes the model and trains a low-rank update beside its linear layers, through PEFT.

        W' = W + (alpha / rank) * B A,    A [rank, in] random, B [out, rank] zero at the start

    Args:
        rank: Rank of the update.
        alpha: Its scale; 2 * rank when absent. Scale of the update, not an interpolation.
        dropout: Dropout on the adapter's input.
        targets: "all-linear" for every layer but the head that PEFT counts as linear (a mixture's router and experts
            among them), or module name endings parted by commas ("q_proj,v_proj").

    Reference:
        Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021, arXiv 2106.09685, eq. 3.

    Confidence:
        text: Through PEFT, whose code was read.

    Cost:
        Less than full training. No gradient and no optimizer state of the frozen weights.

    Departs:
        Every linear layer is adapted by default, not the attention projections alone, and alpha is 2 * rank (as in
        Biderman et al. 2024, arXiv 2405.09673). The adapter is initialised from the run's seed.
    """

    rank: int = setting(16, unit="1", low=1, integer=True, search=(4, 256), log=True)
    alpha: float | None = setting(None, unit="1", low=0.0)
    dropout: float = setting(0.0, unit="probability", low=0.0, high=0.99, search=(0.0, 0.2))
    targets: str = setting("all-linear", unit="module names")

    excludes: ClassVar[Mapping[str, str]] = {"LoRA": "a model takes one adapter at a time; give LoRA() once."}

    def __post_init__(self) -> None:
        """Checks the settings; an adapter on nothing is refused."""
        super().__post_init__()
        if not self.names:
            raise HoldfastError("LoRA() needs targets: 'all-linear', or module name endings like 'q_proj,v_proj'.")

    @property
    def names(self) -> list[str]:
        """The module names or endings that `targets` gives, in order."""
        return [name.strip() for name in self.targets.split(",") if name.strip()]

    def shape_model(self, run: Run) -> nn.Module:
        """Returns the PEFT model.

        Raises:
            HoldfastError: The model carries an adapter already, or nothing in it matches `targets`.
        """
        import peft
        from transformers.pytorch_utils import Conv1D

        if isinstance(run.model, peft.PeftModel) or tuner_layers(run.model):
            raise HoldfastError(
                f"{self!r}: the model already carries an adapter; merge it first (model.merge_and_unload()), or leave"
                " LoRA() out of the recipe to train on with it."
            )
        config = peft.LoraConfig(
            task_type="CAUSAL_LM",
            r=self.rank,
            lora_alpha=2 * self.rank if self.alpha is None else self.alpha,  # type: ignore[arg-type]
            lora_dropout=self.dropout,
            target_modules=self.targets if self.targets == "all-linear" else self.names,
        )
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="fan_in_fan_out")
            torch.manual_seed(run.seed)
            try:
                return peft.get_peft_model(run.model, config)
            except ValueError as error:
                if "target" not in str(error).lower():
                    raise
                linear = [name for name, m in run.model.named_modules() if isinstance(m, (nn.Linear, Conv1D))]
                endings = sorted({name.rsplit(".", 1)[-1] for name in linear})
                raise HoldfastError(
                    f"{self!r}: no module of {type(run.model).__name__} ends in {' or '.join(self.names)};"
                    f" its linear layers are {', '.join(endings)}."
                ) from error
