"""Entrywise work on large tensors block by block, so that no wide copy of a whole tensor exists."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

BLOCK = {"cpu": 1 << 18, "cuda": 1 << 24}
"""Entries of a block by kind of device, on a processor per thread: a few float32 buffers fit its caches.
PyTorch shares a block between its threads. Other devices take the larger number."""

_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers by the bytes of a number."""

Index = slice | Tensor
"""Entries of a flat tensor: a slice, or their numbers `[n]` int64."""


def blocks(entries: int, device: torch.device) -> Iterator[slice]:
    """Yields the slices of a flat tensor's blocks, in order."""
    size = BLOCK.get(device.type, BLOCK["cuda"]) * (torch.get_num_threads() if device.type == "cpu" else 1)
    return (slice(first, min(first + size, entries)) for first in range(0, entries, size))


def wide(*weights: Tensor) -> tuple[Tensor, ...]:
    """Returns the weights in float32, which can hold the change since the base; float64 weights stay float64."""
    return tuple(weight if weight.dtype == torch.float64 else weight.float() for weight in weights)


def entrywise(edit: Callable[[Tensor, Tensor], Tensor], base: Tensor, tuned: Tensor) -> Tensor:
    """Returns `edit(base, tuned)` in the dtype and shape of `tuned`; beside it, only blocks take memory.

    Args:
        edit: Returns the new entries of a block, given those of both tensors in float32 or wider, flat. Entries may not
            depend on each other. It may change what it is given only where that is a copy.
        base: Weights of the base.
        tuned: Weights after training, of the same shape.
    """
    edited = torch.empty(tuned.shape, dtype=tuned.dtype, device=tuned.device)
    flat, base, tuned = edited.view(-1), base.reshape(-1), tuned.reshape(-1)
    for rows in blocks(len(flat), flat.device):
        flat[rows] = edit(*wide(base[rows], tuned[rows]))
    return edited


def lerp(base: Tensor, tuned: Tensor, share: float) -> Tensor:
    """Returns `base + share * (tuned - base)`, computed in float32 or wider and rounded once to the dtype of `tuned`.

    Args:
        base: Weights of the base.
        tuned: Weights after training, of the same shape.
        share: Place on the line through both: 0 is the base and 1 the tuned weight, even if they are not finite.
    """
    if share in (0.0, 1.0):
        return (tuned if share else base).to(tuned.dtype).clone()
    if base.dtype == tuned.dtype and base.device.type in BLOCK:
        return torch.lerp(base, tuned, share)  # computes 16-bit numbers in float32 there, faster than blocks of them
    return entrywise(lambda start, end: torch.lerp(start, end, share), base, tuned)


def choose(mask: Tensor, first: Tensor, second: Tensor | None = None) -> Tensor:
    """Returns `first` where the mask is set, and `second`, or 0, elsewhere; all of one shape and dtype.

    `torch.where` branches at every entry on a processor; masks of bits take a tenth of its time.
    """
    as_bits = _BITS.get(first.element_size())
    if mask.device.type != "cpu" or as_bits is None:
        return torch.where(mask, first, 0.0 if second is None else second)
    bits, other = mask.to(as_bits).neg_(), None if second is None else second.view(as_bits)
    if other is None:
        return bits.bitwise_and_(first.view(as_bits)).view(first.dtype)
    return bits.bitwise_and_(first.view(as_bits) ^ other).bitwise_xor_(other).view(first.dtype)


def differ(first: Tensor, second: Tensor) -> bool:
    """Returns whether two tensors of one shape differ in an entry, the first taken in the dtype of the second."""
    first, second = first.reshape(-1), second.reshape(-1)
    return any(not torch.equal(first[rows].to(second.dtype), second[rows]) for rows in blocks(len(first), first.device))
