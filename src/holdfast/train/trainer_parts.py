"""Small changes to the parts of a trainer: rates of parameter groups, adapters, fingerprints, gathering."""

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
    """Splits an optimizer's groups by the factors on the learning rate.

    Args:
        optimizer: The optimizer; its groups are replaced in place.
        factors: Factor of each parameter, by its id; a parameter without a factor has 1.
    """
    groups = []
    for group in optimizer.param_groups:
        by_factor: dict[float, list[Any]] = {}
        for p in group["params"]:
            by_factor.setdefault(factors.get(id(p), 1.0), []).append(p)
        groups += [{**group, "params": params, "lr": group["lr"] * f} for f, params in by_factor.items()]
    optimizer.param_groups[:] = groups


def start_of(model: nn.Module, teacher: Teacher | None) -> str:
    """Returns a fingerprint of the weights from which a resumed run must start.

    With an adapter, it covers only the frozen weights and the base's kept values, because resuming reads the adapter
    back.
    """
    named = dict(model.named_parameters())
    if tuner_layers(model):
        named = {name: p for name, p in named.items() if not p.requires_grad}
    return checkpoint.fingerprint({**named, **(teacher.values if teacher is not None else {})})


def unwrap(shaped: nn.Module) -> None:
    """Removes the adapter that a recipe put on a model, and returns the weights that it had moved into itself."""
    moved = has_moved(shaped, getattr(shaped, "peft_config", {}))
    getattr(shaped, "merge_and_unload" if moved else "unload", dict)()  # only PEFT changes the model in place


def gather(accelerator: HostAccelerator, values: Tensor) -> Tensor:
    """Returns the concatenated values `[n]` of all processes; their lengths may differ, and none may be NaN."""
    if accelerator.num_processes == 1:
        return values
    padded = accelerator.pad_across_processes(values, dim=0, pad_index=math.nan)
    gathered = accelerator.gather(padded)
    return gathered[~gathered.isnan()]
