"""Rows of a cache of keys and values: repeated, joined with those of another, and cut, with the last tokens aligned.

All functions are for caches for which `holdfast.probes.parts.repeats` holds. A layer that sees a window of the last
tokens keeps the window alone, so its columns are the last ones of the cache too.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def repeated(cache: Any, rows: int) -> Any:
    """Returns a new cache with the one row of `cache`, `rows` times."""
    made = copy.copy(cache)
    made.layers = [copy.copy(layer) for layer in cache.layers]  # whose tensors the next line replaces
    made.reorder_cache(torch.zeros(rows, dtype=torch.long))
    return made


def joined(first: Any, second: Any) -> Any:
    """Returns `first` with the rows of `second` below its own; the shorter one gets columns of zeros on the left.

    The columns of zeros are padding, which the attention mask of the caller must leave out.
    """
    width = max(first.get_seq_length(), second.get_seq_length())
    others = dict(_layers(second))
    for number, layer in _layers(first):
        kept = min(width, layer.sliding_window - 1) if layer.is_sliding else width
        both = layer, others[number]
        layer.keys = torch.cat([_widened(one.keys, kept) for one in both])
        layer.values = torch.cat([_widened(one.values, kept) for one in both])
        if layer.is_sliding:
            layer.cumulative_length = width
    return first


def cut(cache: Any, columns: int) -> None:
    """Takes the first columns out of a cache, which all its rows must have as padding."""
    width = cache.get_seq_length() - columns
    for _, layer in _layers(cache):
        layer.keys, layer.values = layer.keys[:, :, -width:], layer.values[:, :, -width:]
        if layer.is_sliding:
            layer.cumulative_length = width


def _layers(cache: Any) -> Iterator[tuple[int, Any]]:
    """Yields the layers that have keys of their own, with their numbers; some models let layers share them."""
    return ((number, layer) for number, layer in enumerate(cache.layers) if layer.is_initialized)


def _widened(keys_BHTD: Tensor, width: int) -> Tensor:
    return F.pad(keys_BHTD, (0, 0, width - keys_BHTD.shape[2], 0))
