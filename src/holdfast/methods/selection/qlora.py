"""QLoRA: an adapter beside weights that are kept in four bits."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Any, ClassVar

import torch
from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.core.method import State
from holdfast.core.run import Run, Step
from holdfast.core.settings import setting
from holdfast.methods.adapter import Adapter, adapt


def _in_four_bits(layer: nn.Linear) -> nn.Module:
    """Returns a linear layer with the same weight in 4-bit NormalFloat, its constants in 8 bits, by bitsandbytes."""
    import bitsandbytes

    wide = layer.weight.dtype if layer.weight.dtype in (torch.float16, torch.bfloat16) else torch.float32
    options: dict[str, Any] = {"quant_type": "nf4", "compress_statistics": True}
    made = bitsandbytes.nn.Linear4bit(
        layer.in_features, layer.out_features, bias=layer.bias is not None, compute_dtype=wide, **options
    )
    weight = layer.weight.detach().to(wide).clone()
    made.weight = bitsandbytes.nn.Params4bit(weight, requires_grad=False, module=made, **options)
    made.bias = layer.bias
    quantised: nn.Module = made.to(layer.weight.device)
    return quantised


@dataclasses.dataclass(frozen=True, repr=False)
class QLoRA(Adapter):
    """Quantises the frozen model to four bits and trains a low-rank update beside it, through PEFT and bitsandbytes.

        y = dequantise(W_nf4) x + (alpha / rank) B A x,    A [rank, in] random, B [out, rank] zero at the start

    The weights take a quarter of their room in 16 bits, so that larger models fit; the update is kept as it is.

    Args:
        rank: Rank of the update.
        alpha: Its scale.
        dropout: Dropout on the adapter's input (the paper's for models of 7 to 13 billion weights).
        targets: As for LoRA. Every linear layer but the head is quantised, adapted or not.
        clip: Largest norm of the adapter's gradient.

    Reference:
        Dettmers et al., QLoRA: Efficient Finetuning of Quantized LLMs, 2023, arXiv 2305.14314, eq. 5.

    Confidence:
        memory: The settings are the paper's, not read again; the 4-bit layers are bitsandbytes', adapted by PEFT.

    Cost:
        A quarter of the room for weights. Each forward dequantises them. Needs bitsandbytes.

    Departs:
        The base that others compare with, and from which forgetting is measured during training, is the quantised
        model, which has lost something before training starts. The model is given in 16 or 32 bits and quantised where
        it lies, which takes its whole room once: transformers' Trainer takes none that is in four bits already and
        has no adapter (put one on it through PEFT then, and leave QLoRA() out). Norms keep their type. No paged
        optimizer (give the trainer optim="paged_adamw_8bit"). What is shipped is the adapter: a merged weight would be
        rounded again. Not for Conv1D (GPT-2) nor for stacked experts of a mixture, which takes targets="attention".
    """

    rank: int = setting(64, unit="1", low=1, integer=True, search=(8, 256), log=True)
    alpha: float = setting(16.0, unit="1", low=0.0, search=(8.0, 64.0), log=True)
    dropout: float = setting(0.1, unit="probability", low=0.0, high=0.99, search=(0.0, 0.2))
    targets: str = setting("all-linear", unit="module names")
    clip: float = setting(0.3, unit="gradient norm", low=0.0, search=(0.1, 1.0))

    on_frozen: ClassVar[bool] = True

    def shape_model(self, run: Run) -> nn.Module:
        """Returns the PEFT model.

        Raises:
            HoldfastError: bitsandbytes is not there, the model carries an adapter already, nothing in it matches
                `targets`, or its layers are Conv1D.
        """
        import peft
        from transformers.pytorch_utils import Conv1D

        if importlib.util.find_spec("bitsandbytes") is None:
            raise HoldfastError(f"{self!r} needs bitsandbytes: pip install 'holdfast[gpu]'.")
        model: Any = run.model
        if any(isinstance(module, Conv1D) for module in model.modules()):
            raise HoldfastError(
                f"{self!r}: the Conv1D layers of {type(model).__name__} cannot be put into four bits; take LoRA()."
            )
        held = [] if getattr(model, "is_loaded_in_4bit", False) else _quantise(model)
        try:
            if held:
                model.is_loaded_in_4bit = True
            return adapt(  # type: ignore[no-any-return]
                run,
                self,
                peft.LoraConfig,
                r=self.rank,
                lora_alpha=self.alpha,
                lora_dropout=self.dropout,
            )
        except BaseException:  # what is refused leaves the model as it was
            for parent, name, layer in held:
                setattr(parent, name, layer)
            if held:
                del model.is_loaded_in_4bit
            raise

    def edit_grads(self, state: State, step: Step) -> None:
        """Clips the gradient to the norm of the paper."""
        if self.clip:
            nn.utils.clip_grad_norm_(step.params.values(), self.clip)


def _quantise(model: Any) -> list[tuple[nn.Module, str, nn.Module]]:
    """Puts every linear layer but the head into four bits; returns what stood there: parent, name and layer."""
    head = model.get_output_embeddings()
    held: list[tuple[nn.Module, str, nn.Module]] = []
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Linear) and layer is not head:
                held.append((parent, name, layer))
                setattr(parent, name, _in_four_bits(layer))
    return held
