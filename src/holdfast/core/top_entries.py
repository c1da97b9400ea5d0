"""The largest entries of a tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from holdfast.core.blocks import Index, blocks

SAMPLED = 1 << 16
"""Entries from which a bracket of the smallest chosen score is estimated; a tensor of up to four times as many is
selected at once."""
SURE = 5.0
"""Half the width of the bracket, in standard errors of the sample."""


def largest(score: Tensor, count: int) -> Tensor:
    """Returns a bool mask, shaped as `score`, of its `count` largest entries; among equal entries the first ones.

    NaN counts as the largest value, so that it stays visible. Minus infinity is never chosen, so the mask may have
    fewer entries.
    """
    flat = visible(score.flatten())
    count = min(count, int((flat > -torch.inf).count_nonzero()))
    if count <= 0:
        return torch.zeros_like(score, dtype=torch.bool)
    least = _least(flat, count)
    mask = flat > least
    equal = (flat == least).nonzero()[:, 0]
    mask[equal[: count - int(mask.count_nonzero())]] = True
    return mask.view_as(score)


def largest_in_blocks(
    score_of: Callable[[Index], Tensor], entries: int, count: int, device: torch.device
) -> Iterator[tuple[slice, Tensor]]:
    """Yields each block of a flat tensor with the bool mask of the entries that `largest` chooses of the whole.

    Scores are computed twice, and never kept: a first pass finds the smallest chosen one, and a second compares.

    Args:
        score_of: Returns the scores of some entries, float32 or float64.
        entries: Number of entries.
        count: Number of entries to choose.
        device: Device of the scores.
    """
    if count <= 0 or not entries:
        least, above = math.inf, 0
    else:
        least, above = _least_in_blocks(lambda index: visible(score_of(index)), entries, min(count, entries), device)
    equal = 0 if count <= 0 or least == -math.inf else count - above
    for rows in blocks(entries, device):
        score = visible(score_of(rows))
        mask = _beyond(score, least)
        if equal > 0:
            same = _equal(score, least)
            found = _count(same)
            if found > equal:
                mask[same.nonzero()[:equal, 0]] = True
            elif found:
                mask |= same
            equal -= min(found, equal)
        yield rows, mask


def visible(score: Tensor) -> Tensor:
    """Returns scores with infinity in the place of each NaN."""
    if len(score) and bool(score.amax().isnan()):
        return torch.where(score.isnan(), torch.inf, score)
    return score


class _Kept:
    """Values that are added part by part, in one buffer: parts that stay between large blocks fragment the memory."""

    def __init__(self, room: int) -> None:
        self.values = torch.empty(0)
        self.filled = 0
        self._room = room

    def add(self, part: Tensor) -> None:
        """Adds values; the buffer doubles if it is full."""
        filled = self.filled + len(part)
        if filled > len(self.values):
            values = part.new_empty(max(self._room, 2 * filled))
            values[: self.filled] = self.values[: self.filled]
            self.values = values
        self.values[self.filled : filled] = part
        self.filled = filled


def _least_in_blocks(
    score_of: Callable[[Index], Tensor], entries: int, count: int, device: torch.device
) -> tuple[float, int]:
    """Returns the smallest of the `count` largest scores, and the number of scores above it.

    A sample gives two bounds between which it lies almost surely. A pass over all scores counts those beyond the bounds
    and keeps those between them, of which one is selected. If it lies beyond a bound, a pass with others follows.

    Reference:
        Floyd and Rivest, Expected time bounds for selection, Communications of the ACM 18(3), 1975.
    """
    low, high = -math.inf, math.inf
    if entries > 4 * SAMPLED:
        low, high = _bracket(score_of, entries, count, device)
    between = _Kept(entries // 64)
    while True:
        above = at_high = at_low = between.filled = 0
        for rows in blocks(entries, device):
            score = score_of(rows)
            above += _count(_beyond(score, high)) if high < math.inf else 0
            at_high += len(score) - _count(_beyond(score, high, below=True))
            at_low += len(score) - (_count(_beyond(score, low, below=True)) if low > -math.inf else 0)
            if low < high:
                between.add(_between(score, low, high))
        inside = between.filled
        if above >= count:
            low, high = high, math.inf
        elif at_high >= count:
            return high, above
        elif at_high + inside >= count:
            values = between.values[:inside]
            least = float(_least(values, count - at_high))
            return least, at_high + _count(_beyond(values, least))
        elif at_low >= count:
            return low, at_high + inside
        else:
            low, high = -math.inf, low


def _bracket(
    score_of: Callable[[Index], Tensor], entries: int, count: int, device: torch.device
) -> tuple[float, float]:
    """Returns two scores of a sample between which the smallest of the `count` largest lies almost surely."""
    places = torch.randint(entries, (SAMPLED,), generator=torch.Generator().manual_seed(0)).to(device)
    sample = score_of(places).sort(descending=True).values
    share = count / entries
    margin = SURE * (SAMPLED * share * (1 - share)) ** 0.5 + 8
    first, last = math.floor(SAMPLED * share - margin), math.ceil(SAMPLED * share + margin)
    return float(sample[last]) if last < SAMPLED else -math.inf, float(sample[first]) if first >= 0 else math.inf


def _beyond(score: Tensor, bound: float, *, below: bool = False) -> Tensor:
    """Returns the mask of the scores above a bound, or below it; numpy compares in a quarter of PyTorch's time."""
    if score.device.type == "cpu":
        values = score.detach().numpy()
        return torch.from_numpy(values < bound if below else values > bound)
    return score < bound if below else score > bound


def _equal(score: Tensor, value: float) -> Tensor:
    return torch.from_numpy(score.detach().numpy() == value) if score.device.type == "cpu" else score == value


def _count(mask: Tensor) -> int:
    return int(np.count_nonzero(mask.numpy()) if mask.device.type == "cpu" else mask.count_nonzero())


def _between(score: Tensor, low: float, high: float) -> Tensor:
    """Returns the scores strictly between two; numpy selects few of many faster on a CPU."""
    if score.device.type == "cpu":
        values = score.detach().numpy()
        return torch.from_numpy(values[(values > low) & (values < high)])
    return score[(score > low) & (score < high)]


def _least(flat: Tensor, count: int) -> Tensor:
    """Returns the smallest of the `count` largest entries; on a CPU numpy selects it with a single copy."""
    if flat.device.type == "cpu" and flat.dtype in (torch.float32, torch.float64):
        place = len(flat) - count
        return torch.tensor(np.partition(flat.detach().numpy(), place)[place], dtype=flat.dtype)
    return flat.topk(count).values[-1]
