"""QLoRA: an adapter on weights that are stored in four bits."""

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

NUMBERS = {torch.float64, torch.float32, torch.bfloat16, torch.float16}
"""Formats of weights that are not quantised."""


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
    """Trains a LoRA on a model in four bits.

    Quantises the frozen model to four bits and trains a low-rank update, through PEFT and bitsandbytes.

        y = dequantise(W_nf4) x + (alpha / rank) B A x,    A [rank, in] random, B [out, rank] zero at the start

    The weights take a quarter of their size in 16 bits, so larger models fit; the update is not quantised.

    Args:
        rank: Rank of the update.
        alpha: Scale of the update.
        dropout: Dropout on the adapter's input (the paper's for models of 7 to 13 billion weights).
        targets: As for LoRA. Every linear layer except the head is quantised, with or without an adapter.
        clip: Maximum norm of the adapter's gradient.

    Reference:
        Dettmers et al., QLoRA: Efficient Finetuning of Quantized LLMs, 2023, arXiv 2305.14314, eq. 5.

    Confidence:
        memory: The settings are the paper's, from memory; the 4-bit layers are those of bitsandbytes, adapted by PEFT.

    Cost:
        A quarter of the room for weights. Each forward dequantises them. It needs bitsandbytes.

    Departs:
        The base, with which other methods compare and from which forgetting is measured during training, is the
        quantised model, which is already worse than the original. Give the model in 16 or 32 bits; it is quantised in
        place, which needs its full size once. transformers' Trainer refuses a 4-bit model without an adapter (put one
        on it through PEFT, and leave out QLoRA()). Norms keep their dtype. There is no paged optimizer (give the
        trainer optim="paged_adamw_8bit"). The run ships the adapter, because merged weights would be rounded again. The
        method does not support Conv1D (GPT-2), nor stacked experts of a mixture; use targets="attention" for those.
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
            HoldfastError: bitsandbytes is missing, the model already has an adapter, `targets` matches nothing, the
                layers are Conv1D, or they are quantised in another way.
        """
        import peft
        from transformers.pytorch_utils import Conv1D

        model: Any = run.model
        in_four = bool(getattr(model, "is_loaded_in_4bit", False))
        if not in_four and (coded := _coded(model)):
            raise HoldfastError(
                f"{self!r}: the weights of this model are {coded} codes already, not numbers that can be put into four"
                " bits; load it in 16 or 32 bits, or in four."
            )
        if importlib.util.find_spec("bitsandbytes") is None:
            raise HoldfastError(f"{self!r} needs bitsandbytes: pip install 'holdfast[gpu]'.")
        if any(isinstance(module, Conv1D) for module in model.modules()):
            raise HoldfastError(
                f"{self!r}: the Conv1D layers of {type(model).__name__} cannot be put into four bits; take LoRA()."
            )
        held = [] if in_four else _quantise(model)
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
        except BaseException:  # an error leaves the model as it was
            for parent, name, layer in held:
                setattr(parent, name, layer)
            if held:
                del model.is_loaded_in_4bit
            raise

    def edit_grads(self, state: State, step: Step) -> None:
        """Clips the gradient to the norm of the paper."""
        if self.clip:
            nn.utils.clip_grad_norm_(step.params.values(), self.clip)


def _coded(model: nn.Module) -> str:
    """Returns the dtype of linear layers whose weights are codes, to be scaled (8 bits); "" if they are numbers."""
    dtypes = {module.weight.dtype for module in model.modules() if isinstance(module, nn.Linear)}
    return ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes - NUMBERS))


def _quantise(model: Any) -> list[tuple[nn.Module, str, nn.Module]]:
    """Replaces every linear layer except the head by a 4-bit layer; returns parent, name and layer of each original."""
    head = model.get_output_embeddings()
    held: list[tuple[nn.Module, str, nn.Module]] = []
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Linear) and layer is not head:
                held.append((parent, name, layer))
                setattr(parent, name, _in_four_bits(layer))
    return held
