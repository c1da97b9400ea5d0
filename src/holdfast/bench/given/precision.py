"""`--precision auto`: the faster number format on this machine, by the products of one layer of the model."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from rich.console import Console
from torch.nn import functional as F
from transformers import AutoConfig

from holdfast.bench.given.model_files import base_of, folder_or_name, is_adapter
from holdfast.bench.given.specs import MeasuringSpec
from holdfast.core.errors import HoldfastError
from holdfast.core.precision import Precision

S = TypeVar("S", bound=MeasuringSpec)
P = ParamSpec("P")
R = TypeVar("R")

TOKENS = 512
"""Tokens of the products that are timed."""
SECONDS, LEAST = 0.3, 3
"""Time for which products of a format are timed, and the least number of them."""
WORTH = 0.9
"""Share of the time in float32 below which bf16 is worth its rounding."""


def resolving_precision(
    run: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], R]:
    """Returns a command whose options may have `precision="auto"`, which it replaces before it begins."""

    @functools.wraps(run)
    def call(spec: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return run(resolved(spec), *args, **kwargs)

    return call


def resolved(spec: S) -> S:
    """Returns options whose precision is a number format, and prints the choice of `auto`.

    Raises:
        HoldfastError: Several processes run, which might choose differently.
        OSError: The model is missing, or its configuration is.
    """
    if spec.precision != "auto":
        return spec
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise HoldfastError("--precision auto is for one process; give bf16 or fp32 to several.")
    name = str(getattr(spec, "model", "") or getattr(spec, "base", ""))
    path = Path(folder_or_name(name)).expanduser()
    if path.exists() and not any((path / name).exists() for name in ("config.json", "adapter_config.json")):
        return dataclasses.replace(spec, precision="fp32")  # saved answers, for which no model computes
    config = AutoConfig.from_pretrained(base_of(path) if is_adapter(path) else str(path), trust_remote_code=False)
    narrow, wide = (seconds_of(*_shape(config), precision) for precision in ("bf16", "fp32"))
    precision: Precision = "bf16" if narrow < WORTH * wide else "fp32"
    Console(stderr=True).print(
        f"Precision auto: {precision}. The products of a layer of this model take {narrow / wide:.2g} times as long in"
        " bf16 as in float32 here.",
        highlight=False,
    )
    return dataclasses.replace(spec, precision=precision)


def _shape(config: Any) -> tuple[int, int]:
    """Returns the width of a model and the inner width of its layers."""
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    width = int(config.hidden_size)
    inner = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * width
    return width, int(inner)


def seconds_of(width: int, inner: int, precision: str) -> float:
    """Returns the least time of a forward and a backward of a linear layer, in seconds.

    Args:
        width: Its input width.
        inner: Its output width.
        precision: "bf16" computes under autocast, with float32 weights.
    """
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    assert device is not None
    rows = torch.zeros(TOKENS, width, device=device, requires_grad=True)
    weight = torch.zeros(inner, width, device=device, requires_grad=True)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < LEAST or time.perf_counter() - began < SECONDS:
        start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            product = F.linear(rows, weight)
        torch.autograd.grad(product.sum(), (rows, weight))[1][0, 0].item()  # waits for the device
        times.append(time.perf_counter() - start)
    return min(times)
