"""What a recipe remembers, on disk: saved once at the start, and what changed with every checkpoint.

Beside the trainer's own files lie

    <output>/holdfast/state.safetensors        the state as `init_state` made it, written once
    <output>/checkpoint-N/holdfast.safetensors what changed since
    <output>/checkpoint-N/holdfast.json        recipe, fingerprint of the start weights, hash of the first file

The JSON is written last: a checkpoint without it was not finished.
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
"""Each tensor of a state and its version, to tell later which have changed; an id alone is given anew once freed."""


class Resumable(Protocol):
    """What has a state of its own in a checkpoint, under its own name beside the methods'."""

    def tensors(self) -> State:
        """Returns the state as it is now."""

    def resume(self, state: State) -> None:
        """Takes up what `tensors` gave; an empty one begins anew."""


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
    """Returns the nested state that `flatten` came from (methods without tensors have no entry)."""
    state: State = {}
    for name, tensor in flat.items():
        *path, last = name.split("/")
        inner = state
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = tensor
    return state


def mark(state: State) -> Marks:
    """Returns the marks of a state as it is now."""
    return {name: (weakref.ref(t), t._version) for name, t in flatten(state).items()}


def fingerprint(params: Mapping[str, Tensor]) -> str:
    """Returns a hash of up to 128 entries of every tensor: tells one starting model from another."""
    digest = hashlib.sha256()
    for name, p in params.items():
        flat = p.detach().flatten()
        stride = max(1, flat.numel() // 128)
        digest.update(name.encode() + flat[::stride][:128].float().cpu().numpy().tobytes())
    return digest.hexdigest()


def save_start(output: Path, state: State) -> None:
    """Writes the state as `init_state` made it."""
    save_tensors(output / "holdfast" / "state.safetensors", flatten(state))


def changed(state: State, marks: Marks) -> dict[str, Tensor]:
    """Returns the tensors of a state that are not as they were when it was marked, by their joined names."""
    return {name: t for name, t in flatten(state).items() if not _is(t, marks.get(name))}


def start_values(output: Path, names: Sequence[str]) -> dict[str, Tensor]:
    """Returns those of the named tensors that the state at the start of a run had, as it was written then."""
    if not names:
        return {}
    with safetensors.safe_open(output / "holdfast" / "state.safetensors", "pt") as opened:
        known = set(opened.keys())
        return {name: opened.get_tensor(name) for name in names if name in known}


def save_changed(output: Path, checkpoint: Path, state: State, marks: Marks, facts: Mapping[str, str]) -> None:
    """Writes, into a checkpoint, the tensors of `state` that changed since `marks`, then the facts about it."""
    save_tensors(checkpoint / "holdfast.safetensors", changed(state, marks))
    about = {**facts, "start": _hash(output / "holdfast" / "state.safetensors")}
    partial = checkpoint / "holdfast.json.partial"
    partial.write_text(json.dumps(about, indent=1), encoding="utf-8")
    os.replace(partial, checkpoint / "holdfast.json")


def load(output: Path, checkpoint: Path, facts: Mapping[str, str]) -> tuple[State, Marks]:
    """Returns the state at a checkpoint and the marks of the state at the start.

    Raises:
        HoldfastError: The checkpoint is not finished, or was made by another recipe or from another starting model.
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
            made = about.get(name)
            raise HoldfastError(f"{checkpoint} was made with another {name} ({made}) than this run's ({now}).")
    start_file = output / "holdfast" / "state.safetensors"
    if not start_file.exists() or _hash(start_file) != about["start"]:
        raise HoldfastError(f"{start_file} is not the one that {checkpoint} was made with; restore it or start afresh.")
    flat = safetensors.torch.load_file(start_file)
    since = safetensors.torch.load_file(checkpoint / "holdfast.safetensors")
    return unflatten({**flat, **since}), mark(flat)


def last_checkpoint(output: Path) -> Path | None:
    """Returns the newest finished checkpoint of a run, if it has one."""
    finished = [path.parent for path in output.glob("checkpoint-*/holdfast.json")]
    return max(finished, key=lambda path: int(path.name.rsplit("-", 1)[-1]), default=None)


def drop_older(output: Path) -> None:
    """Deletes the finished checkpoints of a run but the newest."""
    last = last_checkpoint(output)
    for path in output.glob("checkpoint-*/holdfast.json"):
        if path.parent != last:
            shutil.rmtree(path.parent, ignore_errors=True)


def drop_unfinished(output: Path) -> None:
    """Deletes what an interruption or a full disk left of checkpoints that were not finished."""
    for path in output.glob("checkpoint-*"):
        if not (path / "holdfast.json").exists():
            shutil.rmtree(path, ignore_errors=True)


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes tensors to a file beside `path`, and renames it."""
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
