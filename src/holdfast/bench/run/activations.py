"""Counts the bytes that a forward saves for its backward, with fake tensors that have shapes but no memory.

Equal layers save equally many bytes, so one layer of each kind runs, and its bytes count for all of that kind.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import peft
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

_PLAIN = (type(None), bool, int, float, str, torch.dtype, torch.device, type)
_NOT_COMPARED = {"_parameters", "_buffers", "_modules", "layer_idx", "target_name"}
"""Attributes that are compared in another way, and two that only hold a layer's position: transformers' and PEFT's."""


def saved_bytes(shaped: Any, rows: int, longest: int, narrow: torch.dtype | None, *, every_layer: bool = False) -> int:
    """Returns the bytes of all tensors that a forward of a model's body saves, without its weights.

    Args:
        shaped: The model in its shape for training; its weights may be on the meta device.
        rows: Number of rows of the batch.
        longest: Number of tokens of each row.
        narrow: The dtype of autocast; None for a forward in float32.
        every_layer: Whether to run also layers that equal an earlier one. The result is the same.

    Raises:
        Exception: The error of the forward, for example because a shape depends on values.
    """
    inner: Any = shaped.get_base_model() if isinstance(shaped, peft.PeftModel) else shaped
    body = inner.get_decoder().train()
    tensors = {**dict(body.named_parameters()), **dict(body.named_buffers())}
    with FakeTensorMode(), torch.autocast("cpu", dtype=narrow or torch.bfloat16, enabled=narrow is not None):
        fakes = {
            name: torch.empty(tensor.shape, dtype=tensor.dtype).requires_grad_(tensor.requires_grad)
            for name, tensor in tensors.items()
        }
        saved = _Saved({_key_of(tensor) for tensor in fakes.values()})
        ids = torch.zeros(rows, longest, dtype=torch.long)
        with (
            torch.autograd.graph.saved_tensors_hooks(saved.keep, lambda tensor: tensor),
            contextlib.nullcontext() if every_layer else _one_run_per_kind(body, saved),
        ):
            torch.func.functional_call(body, fakes, (), {"input_ids": ids, "use_cache": False})
    return saved.total


def _key_of(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _fills_its_storage(tensor: Tensor) -> bool:
    return tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()


class _Saved:
    """The storages that autograd saves, each counted once.

    Attributes:
        storages: Storages by key, kept alive so that no other storage gets the address of one.
        log: Key of each saved tensor, in order.
        of_repeated: Bytes inside layers that did not run, because an equal layer had run.
    """

    def __init__(self, own: set[int]) -> None:
        self.storages: dict[int, torch.UntypedStorage] = {}
        self.log: list[int] = []
        self.of_repeated = 0
        self._own = own  # keys of weights and buffers, which do not count

    def keep(self, tensor: Tensor) -> Tensor:
        """Counts the storage of a saved tensor, and returns the tensor."""
        key = _key_of(tensor)
        if key not in self._own:
            self.storages.setdefault(key, tensor.untyped_storage())
            self.log.append(key)
        return tensor

    @property
    def total(self) -> int:
        """Returns the bytes of all storages."""
        return sum(storage.nbytes() for storage in self.storages.values()) + self.of_repeated


@dataclasses.dataclass(frozen=True)
class _Output:
    """One tensor that a layer returned, and whether the layer itself saved it."""

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype
    requires_grad: bool
    saved: bool

    def repeat(self) -> Tensor:
        """Returns a tensor of this form that is not a leaf of the graph."""
        tensor = torch.empty_strided(self.shape, self.stride, dtype=self.dtype)
        return tensor.requires_grad_().clone() if self.requires_grad else tensor


@dataclasses.dataclass(frozen=True)
class _Call:
    """The saved and returned tensors of a call of a layer.

    Attributes:
        given: Leaves of its arguments, kept alive because calls are compared by their identity.
        saves_hidden: Whether it saved its hidden states.
        inside: Bytes that it was the first to save, without those of its arguments and outputs.
        outputs: Leaves of its output.
        form: Nesting of these leaves.
    """

    given: list[Any]
    saves_hidden: bool
    inside: int
    outputs: list[Any]
    form: Any

    def repeat(self, hidden: Tensor, saved: _Saved) -> Any:
        """Returns the output of the layer, and counts the bytes that it would save."""
        if self.saves_hidden:
            saved.keep(hidden)
        saved.of_repeated += self.inside
        leaves = []
        for output in self.outputs:
            leaf = output.repeat() if isinstance(output, _Output) else output
            if isinstance(output, _Output) and output.saved:
                saved.keep(leaf)
            leaves.append(leaf)
        return pytree.tree_unflatten(leaves, self.form)


@contextlib.contextmanager
def _one_run_per_kind(body: nn.Module, saved: _Saved) -> Iterator[None]:
    """Runs one layer of each kind inside the context, and repeats its result for the others."""
    layers = _layers(body)
    uses = collections.Counter(id(p) for layer in layers for p in {*layer.parameters(), *layer.buffers()})
    calls: dict[Hashable, _Call | None] = {}
    changed = []
    try:
        for layer in layers:
            if "forward" not in vars(layer) and all(uses[id(p)] == 1 for p in (*layer.parameters(), *layer.buffers())):
                layer.__dict__["forward"] = _cached_forward(layer.forward, _kind(layer), calls, saved)
                changed.append(layer)
        yield
    finally:
        for layer in changed:
            del layer.__dict__["forward"]


def _layers(body: nn.Module) -> list[nn.Module]:
    """Returns the members of the outermost `ModuleList`s."""
    layers: list[nn.Module] = []
    inside = ""
    for name, module in body.named_modules():
        if isinstance(module, nn.ModuleList) and not (inside and name.startswith(inside)):
            layers.extend(module)
            inside = f"{name}."
    return layers


def _kind(layer: nn.Module) -> Hashable:
    """Returns a key that is equal for layers whose forwards differ only in the values of their weights."""
    modules = tuple((name, type(module), _plain(vars(module))) for name, module in layer.named_modules())
    weights = (*layer.named_parameters(), *layer.named_buffers())
    return modules, tuple((name, p.shape, p.stride(), p.dtype, p.requires_grad) for name, p in weights)


def _plain(value: Any) -> Hashable:
    """Returns a hashable form of a value: plain values compare by value, all others by identity."""
    if isinstance(value, _PLAIN):
        return type(value), value
    if isinstance(value, dict):
        return tuple((_plain(key), _plain(entry)) for key, entry in value.items() if key not in _NOT_COMPARED)
    if isinstance(value, (list, tuple)):
        return tuple(map(_plain, value))
    if isinstance(value, (set, frozenset)):
        return frozenset(map(_plain, value))
    if isinstance(value, functools.partial):
        return _plain((value.func, value.args, value.keywords))
    return id(value)


def _cached_forward(
    forward: Callable[..., Any], kind: Hashable, calls: dict[Hashable, _Call | None], saved: _Saved
) -> Callable[..., Any]:
    """Returns a layer's forward that runs only if no layer of its kind has run on equal inputs."""

    def run(*args: Any, **kwargs: Any) -> Any:
        given, form = pytree.tree_flatten((args, kwargs))
        tensors = [leaf for leaf in given if isinstance(leaf, Tensor)]
        if not tensors:
            return forward(*args, **kwargs)
        hidden = tensors[0]
        facts = (hidden.shape, hidden.stride(), hidden.dtype, hidden.requires_grad)
        others = tuple(facts if leaf is hidden else _plain(leaf) for leaf in given)
        key = (kind, str(form), others, torch.is_grad_enabled())
        known = calls.get(key)
        if known is not None:
            return known.repeat(hidden, saved)
        before, start = set(saved.storages), len(saved.log)
        output = forward(*args, **kwargs)
        after, form_after = pytree.tree_flatten((args, kwargs))
        if form == form_after and all(first is second for first, second in zip(given, after, strict=True)):
            calls[key] = _call(given, output, before, set(saved.log[start:]), saved)
        return output

    return run


def _call(given: list[Any], output: Any, before: set[int], now: set[int], saved: _Saved) -> _Call | None:
    """Returns the record of a call; None if the call cannot be repeated without running it.

    Args:
        given: Leaves of its arguments; the first tensor holds the hidden states.
        output: Its output.
        before: Keys of the storages saved before the call.
        now: Keys of the storages that it saved.
        saved: All saved storages.
    """
    leaves, form = pytree.tree_flatten(output)
    tensors = [leaf for leaf in given if isinstance(leaf, Tensor)]
    known = {_key_of(tensor) for tensor in tensors}
    returned_tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    returned = {_key_of(tensor) for tensor in returned_tensors}
    fresh = (
        len(returned) == len(returned_tensors)
        and not returned & known
        and all(map(_fills_its_storage, returned_tensors))
    )
    if not fresh or not all(isinstance(leaf, (Tensor, *_PLAIN)) for leaf in leaves):
        return None
    outputs = [
        _Output(leaf.shape, leaf.stride(), leaf.dtype, leaf.requires_grad, _key_of(leaf) in now)
        if isinstance(leaf, Tensor)
        else leaf
        for leaf in leaves
    ]
    inside = sum(saved.storages[key].nbytes() for key in now - before - known - returned)
    return _Call(given, _key_of(tensors[0]) in now, inside, outputs, form)
