"""Loads a model that only answers, and no training changes: small, and on the GPU if the machine has one."""

from __future__ import annotations

import torch
from torch import nn

from holdfast.bench.given.loading import load_model
from holdfast.core.errors import HoldfastError


def load_asked(name: str, *, base: str | None = None, notes: list[str] | None = None, frozen: bool = True) -> nn.Module:
    """Returns a model that is asked, on the GPU of this machine if there is one.

    Its linear layers keep the 16 bits of their file, which halves its memory and changes no answer.

    Args:
        name: A folder, a name on the hub, or "ground:base".
        base: Base for an adapter whose own base is not available.
        notes: List that receives notes for the user.
        frozen: Whether its weights stay as they are; float32 weights if not, because a few steps train them.

    Raises:
        HoldfastError: The model cannot be loaded, or does not fit into the memory of the GPU.
    """
    return placed(load_model(name, base=base, frozen=frozen, notes=notes))


def placed(model: nn.Module) -> nn.Module:
    """Returns a model after it has moved to the GPU of this machine, if there is one.

    Raises:
        HoldfastError: It does not fit into the memory of the GPU.
    """
    device = torch.accelerator.current_accelerator(check_available=True)
    if device is None or device.type == "mps":  # which has no float64, the numbers in which tokens are drawn
        return model
    if getattr(model, "is_quantized", False):  # its loader has put it where its kernels run
        return model
    try:
        return model.to(device)
    except torch.OutOfMemoryError as error:
        size = sum(p.numel() * p.element_size() for p in model.parameters()) / 1e9
        raise HoldfastError(
            f"The model takes {size:.1f} GB, and the GPU has less free memory; free some, or hide the GPU"
            " (CUDA_VISIBLE_DEVICES=) to ask the model on the processor."
        ) from error
