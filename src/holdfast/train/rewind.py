"""What a guard keeps of a run at a look, so that it can go back there: weights, optimizer and what methods remember.

All of it lies in host memory, once, as tensors that a checkpoint can hold: the trained weights, the optimizer's state
(of AdamW two numbers for each trained weight) and those tensors of the methods that changed since the start.
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
"""What an optimizer remembers, by the place of a parameter or group, and by name."""

PLAIN = {bool: torch.bool, int: torch.int64, float: torch.float64}
"""Numbers of Python that optimizers keep, and the tensors that they are kept as."""
RATES = ("lr", "initial_lr")
"""Entries of a parameter group that the guard and the schedule set, which do not go back."""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A run as it was.

    Attributes:
        weights: The trained parameters, by name.
        state: Those tensors of the methods that have changed since the start.
        optimizer: What the optimizer remembers; None where it keeps what cannot be kept here.
    """

    weights: dict[str, Tensor]
    state: State
    optimizer: Entries | None


def take_snapshot(model: nn.Module, optimizer: Optimizer, state: State, marks: checkpoint.Marks) -> Snapshot:
    """Returns a run as it is now.

    Args:
        model: The model, unwrapped.
        optimizer: Its optimizer, which accelerate may have wrapped.
        state: What the methods remember.
        marks: The marks of that at the start.
    """
    weights = {name: p.detach().to("cpu", copy=True) for name, p in trainable(model).items()}
    return Snapshot(weights, remembered(state, marks), optimizer_state(optimizer))


@torch.no_grad()
def go_back(
    kept: Snapshot, model: nn.Module, optimizer: Optimizer, state: State, marks: checkpoint.Marks, output: Path
) -> None:
    """Puts a run back to where it was kept, so that nothing of what came after is left in it.

    Time goes on: batches, the schedule and the random state are not put back. The arguments are as in `keep`; `output`
    is the run's folder.
    """
    for name, p in trainable(model).items():
        p.copy_(kept.weights[name])
    restore_optimizer(optimizer, kept.optimizer or {})
    restore(state, kept.state, marks, output)


def name_of(optimizer: Optimizer) -> str:
    """Returns the name of an optimizer's class."""
    return type(_bare(optimizer)).__name__


def optimizer_state(optimizer: Optimizer) -> Entries | None:
    """Returns a copy of what an optimizer remembers, by parameter; None if it keeps what no checkpoint of ours holds.

    Numbers of its parameter groups (as Prodigy has) are among it, but for the rates.
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
    """Puts back what an optimizer remembered; what it had not begun to remember then begins anew."""
    bare, places = _bare(optimizer), _places(optimizer)
    for name, p in places.items():
        now = bare.state.pop(p, {})
        if name in kept:
            bare.state[p] = _restored(now, kept[name], p.device)
    for name, entries in _groups(optimizer):
        entries.update(_restored(entries, kept.get(name, {}), torch.device("cpu")))


def remembered(state: State, marks: checkpoint.Marks) -> State:
    """Returns a copy, in host memory, of what methods remember and have changed since the start."""
    changed = checkpoint.changed(state, marks)
    return checkpoint.unflatten({name: t.detach().to("cpu", copy=True) for name, t in changed.items()})


def restore(state: State, kept: State, marks: checkpoint.Marks, output: Path) -> None:
    """Puts back, in place, what methods remembered; what had not changed then, from the file of the start.

    Args:
        state: The methods' state as it is.
        kept: What `remembered` returned.
        marks: The marks of the state at the start.
        output: The run's folder.
    """
    then = checkpoint.flatten(kept)
    since = [name for name in checkpoint.changed(state, marks) if name not in then]
    values = {**checkpoint.start_values(output, since), **{name: t.clone() for name, t in then.items()}}
    for name in since:
        if name not in values:  # a method has begun to remember it since
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
            values[name] = held.copy_(value)  # where it lies: some optimizers page it
        else:
            values[name] = value.to(device, copy=True)
    return values
