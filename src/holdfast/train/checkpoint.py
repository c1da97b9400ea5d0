"""A recipe's state on disk: the whole state once at the start, and with every checkpoint the tensors that changed.

It writes these files beside the trainer's:

    <output>/holdfast/state.safetensors        the state that `init_state` returned, written once
    <output>/checkpoint-N/holdfast.safetensors the tensors that changed since
    <output>/checkpoint-N/holdfast.json        recipe, fingerprint of the start weights, hash of the first file

It writes the JSON file last, so a checkpoint without this file is unfinished.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import safetensors.torch
from torch import Tensor

from holdfast.core.errors import HoldfastError
from holdfast.core.method import State

Marks = dict[str, tuple[weakref.ref[Tensor], int]]
"""Each tensor of a state with its version, to find the changed ones later. A weak reference stands for the tensor,
because Python reuses the id of a freed one."""


class Resumable(Protocol):
    """An object whose state checkpoints store beside that of the methods."""

    def tensors(self) -> State:
        """Returns the current state."""

    def resume(self, state: State) -> None:
        """Continues from a state that `tensors` returned; an empty state begins anew."""


def flatten(state: State, prefix: str = "") -> dict[str, Tensor]:
    """Returns the tensors of a nested state under names joined by "/"."""
    flat: dict[str, Tensor] = {}
    for name, value in state.items():
        if isinstance(value, Tensor):
            flat[prefix + name] = value
        else:
            flat.update(flatten(value, f"{prefix}{name}/"))
    return flat


def unflatten(flat: Mapping[str, Tensor]) -> State:
    """Returns the nested state from the result of `flatten`; methods without tensors have no entry."""
    state: State = {}
    for name, tensor in flat.items():
        *path, last = name.split("/")
        inner = state
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = tensor
    return state


def mark(state: State) -> Marks:
    """Returns the marks of the current state."""
    return {name: (weakref.ref(t), t._version) for name, t in flatten(state).items()}


def fingerprint(params: Mapping[str, Tensor]) -> str:
    """Returns a hash of about 128 entries of every tensor, which tells starting models apart."""
    digest = hashlib.sha256()
    for name, p in params.items():
        flat = p.detach().flatten()
        stride = max(1, flat.numel() // 128)
        digest.update(name.encode() + flat[::stride][:128].float().cpu().numpy().tobytes())
    return digest.hexdigest()


def save_start(output: Path, state: State) -> None:
    """Writes the state that `init_state` returned."""
    save_tensors(output / "holdfast" / "state.safetensors", flatten(state))


def changed(state: State, marks: Marks) -> dict[str, Tensor]:
    """Returns the tensors of a state that changed since its marks, by their joined names."""
    return {name: t for name, t in flatten(state).items() if not _is(t, marks.get(name))}


def start_values(output: Path, names: Sequence[str]) -> dict[str, Tensor]:
    """Returns the start values of the named tensors, read from the run's folder; unknown names are left out."""
    if not names:
        return {}
    with safetensors.safe_open(output / "holdfast" / "state.safetensors", "pt") as opened:
        known = set(opened.keys())
        return {name: opened.get_tensor(name) for name in names if name in known}


def save_changed(output: Path, checkpoint: Path, state: State, marks: Marks, facts: Mapping[str, str]) -> None:
    """Writes the tensors of `state` that changed since `marks` into a checkpoint, and then the facts about the run."""
    save_tensors(checkpoint / "holdfast.safetensors", changed(state, marks))
    about = {**facts, "start": _hash(output / "holdfast" / "state.safetensors")}
    partial = checkpoint / "holdfast.json.partial"
    partial.write_text(json.dumps(about, indent=1), encoding="utf-8")
    os.replace(partial, checkpoint / "holdfast.json")


def load(output: Path, checkpoint: Path, facts: Mapping[str, str]) -> tuple[State, Marks]:
    """Returns the state at a checkpoint and the marks of the state at the start.

    Raises:
        HoldfastError: The checkpoint is unfinished, or comes from another recipe or starting model.
    """
    try:
        about = json.loads((checkpoint / "holdfast.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HoldfastError(
            f"{checkpoint} has no holdfast.json: it was not finished, or not made under attach(); resume from another."
        ) from None
    for name, now in facts.items():
        if about.get(name) != now:
            if name == "starting model":
                raise HoldfastError(
                    f"{checkpoint} was made from another starting model; build it from the same weights."
                )
            then = about.get(name)
            raise HoldfastError(f"{checkpoint} was made with another {name} ({then}) than this run's ({now}).")
    start_file = output / "holdfast" / "state.safetensors"
    if not start_file.exists() or _hash(start_file) != about["start"]:
        raise HoldfastError(f"{start_file} is not the one that {checkpoint} was made with; restore it or start afresh.")
    flat = safetensors.torch.load_file(start_file)
    since = safetensors.torch.load_file(checkpoint / "holdfast.safetensors")
    return unflatten({**flat, **since}), mark(flat)


def last_checkpoint(output: Path) -> Path | None:
    """Returns the newest finished checkpoint of a run; None without one."""
    finished = [path.parent for path in output.glob("checkpoint-*/holdfast.json")]
    return max(finished, key=lambda path: int(path.name.rsplit("-", 1)[-1]), default=None)


def drop_older(output: Path) -> None:
    """Deletes all finished checkpoints of a run except the newest."""
    last = last_checkpoint(output)
    for path in output.glob("checkpoint-*/holdfast.json"):
        if path.parent != last:
            shutil.rmtree(path.parent, ignore_errors=True)


def drop_unfinished(output: Path) -> None:
    """Deletes unfinished checkpoints, which an interruption or a full disk leaves behind."""
    for path in output.glob("checkpoint-*"):
        if not (path / "holdfast.json").exists():
            shutil.rmtree(path, ignore_errors=True)


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes tensors to a temporary file and renames it to `path`, so `path` is never half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        safetensors.torch.save_file({k: t.detach().cpu().contiguous() for k, t in tensors.items()}, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _is(tensor: Tensor, marked: tuple[weakref.ref[Tensor], int] | None) -> bool:
    return marked is not None and marked[0]() is tensor and marked[1] == tensor._version


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
