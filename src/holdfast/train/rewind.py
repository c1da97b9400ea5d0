"""Snapshots of a run, to which a guard goes back: trained weights, optimizer state and the state of the methods.

A snapshot is a single copy in host memory, made of tensors that a checkpoint can hold: the trained weights, the state
of the optimizer (AdamW has two numbers for each trained weight), and the tensors of the methods that have changed since
the start.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from holdfast.core.method import State
from holdfast.core.params import trainable
from holdfast.train import checkpoint

Entries = dict[str, dict[str, Tensor]]
"""The state of an optimizer, by the index of a parameter or group, and by name."""

PLAIN = {bool: torch.bool, int: torch.int64, float: torch.float64}
"""Types of Python numbers in the state of optimizers, with the dtype of the tensor that stores each."""
RATES = ("lr", "initial_lr")
"""Entries of a parameter group that the guard and the schedule set; a run that goes back keeps them."""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A copy of a run at one step.

    Attributes:
        weights: The trained parameters, by name.
        state: The tensors of the methods that have changed since the start.
        optimizer: The state of the optimizer; None if it holds something other than tensors and numbers.
    """

    weights: dict[str, Tensor]
    state: State
    optimizer: Entries | None


def take_snapshot(model: nn.Module, optimizer: Optimizer, state: State, marks: checkpoint.Marks) -> Snapshot:
    """Returns a snapshot of a run.

    Args:
        model: The model, unwrapped.
        optimizer: The optimizer, which accelerate may have wrapped.
        state: The state of the methods.
        marks: Marks of that state at the start of the training.
    """
    weights = {name: p.detach().to("cpu", copy=True) for name, p in trainable(model).items()}
    return Snapshot(weights, remembered(state, marks), optimizer_state(optimizer))


@torch.no_grad()
def go_back(
    kept: Snapshot, model: nn.Module, optimizer: Optimizer, state: State, marks: checkpoint.Marks, output: Path
) -> None:
    """Restores a run from a snapshot, in place.

    Batches, the schedule and the random state continue; they are not restored. The arguments are those of
    `take_snapshot`; `output` is the folder of the run.
    """
    for name, p in trainable(model).items():
        p.copy_(kept.weights[name])
    restore_optimizer(optimizer, kept.optimizer or {})
    restore(state, kept.state, marks, output)


@torch.no_grad()
def pull_back(model: nn.Module, start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float) -> None:
    """Sets the trained weights to `start + share * (end - start)`, in place.

    Args:
        model: The model, unwrapped.
        start: Trained weights by name, as a snapshot has them.
        end: Others.
        share: Share of the change, from 0 to 1.
    """
    for name, p in trainable(model).items():
        p.copy_(torch.lerp(start[name].to(p.device, torch.float32), end[name].to(p.device, torch.float32), share))


def name_of(optimizer: Optimizer) -> str:
    """Returns the name of an optimizer's class."""
    return type(_bare(optimizer)).__name__


def optimizer_state(optimizer: Optimizer) -> Entries | None:
    """Returns a copy of an optimizer's state, by parameter; None if a value is neither a tensor nor a number.

    The copy includes numbers of the parameter groups (Prodigy has some), but not the learning rates.
    """
    kept: Entries = {}
    for name, entries in _entries(optimizer):
        kept[name] = {}
        for key, value in entries.items():
            if type(value) in (Tensor, torch.nn.Parameter):
                kept[name][key] = value.detach().to("cpu", copy=True)
            elif type(value) in PLAIN:
                kept[name][f"{key}:{type(value).__name__}"] = torch.tensor(value, dtype=PLAIN[type(value)])
            elif value is not None and not name.startswith("group"):
                return None
    return kept


@torch.no_grad()
def restore_optimizer(optimizer: Optimizer, kept: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Restores the state of an optimizer; parameters that had none lose theirs."""
    bare, places = _bare(optimizer), _places(optimizer)
    for name, p in places.items():
        now = bare.state.pop(p, {})
        if name in kept:
            bare.state[p] = _restored(now, kept[name], p.device)
    for name, entries in _groups(optimizer):
        entries.update(_restored(entries, kept.get(name, {}), torch.device("cpu")))


def remembered(state: State, marks: checkpoint.Marks) -> State:
    """Returns a copy, in host memory, of the state of the methods that has changed since the start."""
    changed = checkpoint.changed(state, marks)
    return checkpoint.unflatten({name: t.detach().to("cpu", copy=True) for name, t in changed.items()})


def restore(state: State, kept: State, marks: checkpoint.Marks, output: Path) -> None:
    """Restores the state of the methods, in place.

    Tensors that the copy lacks had not changed when it was made; their values come from the file of the start.

    Args:
        state: The current state of the methods.
        kept: The copy that `remembered` returned.
        marks: Marks of the state at the start of the training.
        output: The folder of the run.
    """
    then = checkpoint.flatten(kept)
    since = [name for name in checkpoint.changed(state, marks) if name not in then]
    values = {**checkpoint.start_values(output, since), **{name: t.clone() for name, t in then.items()}}
    for name in since:
        if name not in values:  # a method has added this tensor since the start
            *path, last = name.split("/")
            _inner(state, path).pop(last)
    for name, value in values.items():
        *path, last = name.split("/")
        _inner(state, path)[last] = value


def _inner(state: State, path: list[str]) -> dict[str, Any]:
    for part in path:
        state = state.setdefault(part, {})
    return state


def _bare(optimizer: Optimizer) -> Optimizer:
    bare: Optimizer = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
    return bare


def _places(optimizer: Optimizer) -> dict[str, Tensor]:
    params = (p for group in _bare(optimizer).param_groups for p in group["params"])
    return {f"{place:06d}": p for place, p in enumerate(params)}


def _groups(optimizer: Optimizer) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, group in enumerate(_bare(optimizer).param_groups):
        yield f"group{place}", group


def _entries(optimizer: Optimizer) -> Iterator[tuple[str, Mapping[str, Any]]]:
    state = _bare(optimizer).state
    for name, p in _places(optimizer).items():
        if p in state:
            yield name, state[p]
    for name, group in _groups(optimizer):
        yield name, {key: value for key, value in group.items() if key not in ("params", *RATES)}


def _restored(now: Mapping[str, Any], kept: Mapping[str, Tensor], device: torch.device) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in kept.items():
        name, _, kind = key.partition(":")
        held = now.get(name)
        if kind:
            values[name] = value.item()
        elif isinstance(held, Tensor) and held.shape == value.shape and held.dtype == value.dtype:
            values[name] = held.copy_(value)  # in place, because some optimizers page their state
        else:
            values[name] = value.to(device, copy=True)
    return values
