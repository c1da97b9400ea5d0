"""The bytes that a forward saves for its backward, counted with tensors that have shapes and no memory.

Layers that are equal save equally: one of each kind runs, and what it saved counts for all of its kind.
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
"""Attributes that are compared otherwise, and two that only say where a layer stands: transformers', and PEFT's."""


def saved_bytes(shaped: Any, rows: int, longest: int, narrow: torch.dtype | None, *, every_layer: bool = False) -> int:
    """Returns the bytes of all tensors that a forward of a model's body saves, its own weights excepted.

    Args:
        shaped: The model as it is trained; its weights may be on the meta device.
        rows: Rows of the batch.
        longest: Tokens of each row.
        narrow: The dtype of autocast, or None for a forward in float32.
        every_layer: Run every layer, also those that equal an earlier one. The result is the same.

    Raises:
        Exception: Whatever the forward raises, for example where a shape depends on values.
    """
    whole: Any = shaped.get_base_model() if isinstance(shaped, peft.PeftModel) else shaped
    body = whole.get_decoder().train()
    tensors = {**dict(body.named_parameters()), **dict(body.named_buffers())}
    with FakeTensorMode(), torch.autocast("cpu", dtype=narrow or torch.bfloat16, enabled=narrow is not None):
        own = {
            name: torch.empty(tensor.shape, dtype=tensor.dtype).requires_grad_(tensor.requires_grad)
            for name, tensor in tensors.items()
        }
        saved = _Saved({_key_of(tensor) for tensor in own.values()})
        ids = torch.zeros(rows, longest, dtype=torch.long)
        with (
            torch.autograd.graph.saved_tensors_hooks(saved.keep, lambda tensor: tensor),
            contextlib.nullcontext() if every_layer else _equal_layers_once(body, saved),
        ):
            torch.func.functional_call(body, own, (), {"input_ids": ids, "use_cache": False})
    return saved.total


def _key_of(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _fills_its_storage(tensor: Tensor) -> bool:
    return tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()


class _Saved:
    """The storages that autograd saves, each counted once.

    Attributes:
        storages: By their key. They are held, so that no other storage takes the place of one.
        log: The key of each tensor that was saved, in order.
        of_repeated: Bytes of the storages within layers that did not run, because an equal one had.
    """

    def __init__(self, own: set[int]) -> None:
        self.storages: dict[int, torch.UntypedStorage] = {}
        self.log: list[int] = []
        self.of_repeated = 0
        self._own = own  # keys of the weights and buffers, which are not counted

    def keep(self, tensor: Tensor) -> Tensor:
        """Counts the storage of a saved tensor, and returns the tensor."""
        key = _key_of(tensor)
        if key not in self._own:
            self.storages.setdefault(key, tensor.untyped_storage())
            self.log.append(key)
        return tensor

    @property
    def total(self) -> int:
        """The bytes of all storages."""
        return sum(storage.nbytes() for storage in self.storages.values()) + self.of_repeated


@dataclasses.dataclass(frozen=True)
class _Output:
    """One tensor that a layer returned, and whether the layer itself saved it."""

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype
    requires_grad: bool
    saved: bool

    def again(self) -> Tensor:
        """Returns such a tensor, which is no leaf."""
        tensor = torch.empty_strided(self.shape, self.stride, dtype=self.dtype)
        return tensor.requires_grad_().clone() if self.requires_grad else tensor


@dataclasses.dataclass(frozen=True)
class _Call:
    """What a call of a layer saved and returned.

    Attributes:
        given: What it was given. It is held, since calls are compared by the identity of most of it.
        saves_hidden: Whether it saved the hidden states that it was given.
        inside: Bytes of the storages that it saved first and neither was given nor returned.
        outputs: The leaves of what it returned.
        form: How these leaves are nested.
    """

    given: list[Any]
    saves_hidden: bool
    inside: int
    outputs: list[Any]
    form: Any

    def again(self, hidden: Tensor, saved: _Saved) -> Any:
        """Returns what the layer would return, and counts what it would save."""
        if self.saves_hidden:
            saved.keep(hidden)
        saved.of_repeated += self.inside
        leaves = []
        for output in self.outputs:
            leaf = output.again() if isinstance(output, _Output) else output
            if isinstance(output, _Output) and output.saved:
                saved.keep(leaf)
            leaves.append(leaf)
        return pytree.tree_unflatten(leaves, self.form)


@contextlib.contextmanager
def _equal_layers_once(body: nn.Module, saved: _Saved) -> Iterator[None]:
    """Lets one layer of each kind run, and repeats for the others what that one saved."""
    layers = _layers(body)
    uses = collections.Counter(id(p) for layer in layers for p in {*layer.parameters(), *layer.buffers()})
    calls: dict[Hashable, _Call | None] = {}
    changed = []
    try:
        for layer in layers:
            if "forward" not in vars(layer) and all(uses[id(p)] == 1 for p in (*layer.parameters(), *layer.buffers())):
                layer.__dict__["forward"] = _once(layer.forward, _kind(layer), calls, saved)
                changed.append(layer)
        yield
    finally:
        for layer in changed:
            del layer.__dict__["forward"]


def _layers(body: nn.Module) -> list[nn.Module]:
    """Returns the members of the outermost lists of modules."""
    found: list[nn.Module] = []
    inside = ""
    for name, module in body.named_modules():
        if isinstance(module, nn.ModuleList) and not (inside and name.startswith(inside)):
            found.extend(module)
            inside = f"{name}."
    return found


def _kind(layer: nn.Module) -> Hashable:
    """Returns a key that is equal for layers whose forwards do the same, but for the numbers in their weights."""
    modules = tuple((name, type(module), _plain(vars(module))) for name, module in layer.named_modules())
    weights = (*layer.named_parameters(), *layer.named_buffers())
    return modules, tuple((name, p.shape, p.stride(), p.dtype, p.requires_grad) for name, p in weights)


def _plain(value: Any) -> Hashable:
    """Returns a value to compare: plain ones by what they are, all others by identity."""
    if isinstance(value, _PLAIN):
        return type(value), value
    if isinstance(value, dict):
        return tuple((_plain(key), _plain(one)) for key, one in value.items() if key not in _NOT_COMPARED)
    if isinstance(value, (list, tuple)):
        return tuple(map(_plain, value))
    if isinstance(value, (set, frozenset)):
        return frozenset(map(_plain, value))
    if isinstance(value, functools.partial):
        return _plain((value.func, value.args, value.keywords))
    return id(value)


def _once(
    forward: Callable[..., Any], kind: Hashable, calls: dict[Hashable, _Call | None], saved: _Saved
) -> Callable[..., Any]:
    """Returns a layer's forward that runs unless a layer of the same kind has run on equal inputs."""

    def run(*args: Any, **kwargs: Any) -> Any:
        given, form = pytree.tree_flatten((args, kwargs))
        tensors = [one for one in given if isinstance(one, Tensor)]
        if not tensors:
            return forward(*args, **kwargs)
        hidden = tensors[0]
        facts = (hidden.shape, hidden.stride(), hidden.dtype, hidden.requires_grad)
        others = tuple(facts if one is hidden else _plain(one) for one in given)
        key = (kind, str(form), others, torch.is_grad_enabled())
        known = calls.get(key)
        if known is not None:
            return known.again(hidden, saved)
        before, start = set(saved.storages), len(saved.log)
        output = forward(*args, **kwargs)
        after, form_after = pytree.tree_flatten((args, kwargs))
        if form == form_after and all(one is other for one, other in zip(given, after, strict=True)):
            calls[key] = _call(given, output, before, set(saved.log[start:]), saved)
        return output

    return run


def _call(given: list[Any], output: Any, before: set[int], now: set[int], saved: _Saved) -> _Call | None:
    """Returns what a call saved and returned; None where it cannot be repeated without running it.

    Args:
        given: What it was given, among it tensors, the hidden states first.
        output: What it returned.
        before: Keys of the storages that had been saved before.
        now: Keys of those that it saved.
        saved: All of them.
    """
    leaves, form = pytree.tree_flatten(output)
    tensors = [one for one in given if isinstance(one, Tensor)]
    known = {_key_of(tensor) for tensor in tensors}
    made = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    returned = {_key_of(tensor) for tensor in made}
    own = len(returned) == len(made) and not returned & known and all(map(_fills_its_storage, made))
    if not own or not all(isinstance(leaf, (Tensor, *_PLAIN)) for leaf in leaves):
        return None
    outputs = [
        _Output(leaf.shape, leaf.stride(), leaf.dtype, leaf.requires_grad, _key_of(leaf) in now)
        if isinstance(leaf, Tensor)
        else leaf
        for leaf in leaves
    ]
    inside = sum(saved.storages[key].nbytes() for key in now - before - known - returned)
    return _Call(given, _key_of(tensors[0]) in now, inside, outputs, form)
