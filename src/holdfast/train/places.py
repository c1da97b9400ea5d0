"""Small things that attaching does to a trainer's parts: rates of parameter groups, fingerprints, gathering."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.adapters import tuner_layers
from holdfast.core.teacher import Teacher
from holdfast.train import checkpoint
from holdfast.train.base import has_moved
from holdfast.train.trainers import HostAccelerator


def split_groups(optimizer: torch.optim.Optimizer, factors: Mapping[int, float]) -> None:
    """Parts an optimizer's groups by the factor on the rate of each parameter, by its id; absent means 1."""
    groups = []
    for group in optimizer.param_groups:
        by_factor: dict[float, list[Any]] = {}
        for p in group["params"]:
            by_factor.setdefault(factors.get(id(p), 1.0), []).append(p)
        groups += [{**group, "params": params, "lr": group["lr"] * f} for f, params in by_factor.items()]
    optimizer.param_groups[:] = groups


def start_of(model: nn.Module, teacher: Teacher | None) -> str:
    """Fingerprint of the weights that a resumed run must start from: all, but an adapter's that resuming reads back."""
    named = dict(model.named_parameters())
    if tuner_layers(model):
        named = {name: p for name, p in named.items() if not p.requires_grad}
    return checkpoint.fingerprint({**named, **(teacher.values if teacher is not None else {})})


def unwrap(shaped: nn.Module) -> None:
    """Takes the adapter off that a recipe put on a model, with the weights that it had moved into it."""
    moved = has_moved(shaped, getattr(shaped, "peft_config", {}))
    getattr(shaped, "merge_and_unload" if moved else "unload", dict)()  # nothing but PEFT wraps in place


def gather(accelerator: HostAccelerator, values: Tensor) -> Tensor:
    """Returns the numbers of all processes, which may have different counts of them, one behind the other."""
    if accelerator.num_processes == 1:
        return values
    padded = accelerator.pad_across_processes(values, dim=0, pad_index=math.nan)
    gathered = accelerator.gather(padded)
    return gathered[~gathered.isnan()]
