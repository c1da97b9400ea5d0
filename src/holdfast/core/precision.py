"""The number format in which a model computes while it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from holdfast.core.errors import HoldfastError
from holdfast.core.free_memory import free_memory
from holdfast.core.narrow_linear import NARROW, NarrowLinear

Precision = Literal["fp32", "bf16", "fp16", "auto"]
"""Names of the number formats, as `--precision` gives them; a command replaces "auto" by one of the others."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""The number formats as torch has them."""


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

    In float32 the block has float32 copies of frozen 16-bit weights (`NarrowLinear`), if they take less than half of
    the free memory: a layer that widens its weight for each product does so for each token that is written. Results
    are the same, to the bit.

    Args:
        model: The model.
        precision: The number format.
    """
    if precision == "fp32":
        dtype, params = torch.float32, _narrow_weights(model)
    else:
        dtype = DTYPES[precision]
        params = [p for p in model.parameters() if p.is_floating_point() and p.dtype != dtype]
    if is_spread(params):
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


def _narrow_weights(model: nn.Module) -> list[Tensor]:
    """Returns the weights that float32 layers hold in 16 bits; none if they are spread over processes or too many."""
    layers = (module for module in model.modules() if isinstance(module, NarrowLinear))
    weights: list[Tensor] = list(dict.fromkeys(layer.weight for layer in layers if layer.weight.dtype in NARROW))
    size = 4 * sum(weight.numel() for weight in weights)
    return weights if size and 2 * size < free_memory()[0] and not is_spread(weights) else []


def is_spread(params: Iterable[Tensor]) -> bool:
    """Returns whether weights are spread over processes (FSDP, DeepSpeed)."""
    return any(type(p.data) is not torch.Tensor or hasattr(p, "ds_id") for p in params)
