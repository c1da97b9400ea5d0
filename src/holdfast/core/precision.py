"""The number format in which a model computes while it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

from holdfast.core.errors import HoldfastError

Precision = Literal["fp32", "bf16", "fp16", "auto"]
"""Names of the number formats, as `--precision` gives them; a command replaces "auto" by one of the others."""


def check_precision(precision: Precision) -> None:
    """Raises `HoldfastError` for a number format that this machine lacks, or for one that is not chosen yet."""
    if precision == "auto":
        raise HoldfastError("precision='auto' is for commands; give fp32, bf16 or fp16 here.")
    if precision == "fp16" and not torch.cuda.is_available():
        raise HoldfastError("--precision fp16 needs a GPU; use bf16, which runs on this machine's CPU, or fp32.")


@contextmanager
def computing_in(model: nn.Module, precision: Precision) -> Iterator[None]:
    """Lets a model compute in a number format for a block; its weights are the same afterwards, to the bit.

    In 16 bits the block has the weights rounded to that format, as a model that is loaded with `dtype=bfloat16`.
    Autocast would round the frozen float32 weights again in every forward, which costs more than the forward of a
    small batch. Weights that are spread over processes (FSDP, DeepSpeed) stay as they are, under autocast.

    Args:
        model: The model.
        precision: "fp32" leaves the weights in the format that they have.
    """
    if precision == "fp32":
        yield
        return
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    params = [p for p in model.parameters() if p.is_floating_point() and p.dtype != dtype]
    if any(type(p.data) is not torch.Tensor or hasattr(p, "ds_id") for p in params):
        with torch.autocast(next(model.parameters()).device.type, dtype=dtype):
            yield
        return
    wide = [p.data for p in params]
    try:
        for p, weights in zip(params, wide, strict=True):
            p.data = weights.to(dtype)
        yield
    finally:
        for p, weights in zip(params, wide, strict=True):
            p.data = weights
