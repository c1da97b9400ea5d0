"""Packs several examples into one row, so that a batch holds less padding."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from typing import Literal

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example


def pack(examples: Iterable[Example], max_length: int, *, strategy: Literal["bfd", "next"] = "bfd") -> list[Example]:
    """Returns rows of at most `max_length` tokens that hold all examples uncut; each row has one source.

    Args:
        examples: Examples of any sources; packed ones stay together.
        max_length: Most tokens of a row.
        strategy: "bfd" puts the longest example first, each into the fullest row that has room (best fit decreasing:
            at most 11/9 of the fewest rows possible, plus 4); "next" keeps the order and begins a new row whenever
            the next example does not fit.

    Returns:
        Rows by source. A row of several documents has their `lengths` and the origin of the first.

    Raises:
        HoldfastError: An example is longer than `max_length`.
    """
    if strategy not in ("bfd", "next"):
        raise HoldfastError(f"strategy={strategy!r}: choose one of 'bfd', 'next'.")
    by_source: dict[int, list[Example]] = {}
    for example in examples:
        if len(example.input_ids) > max_length:
            where = example.origin or "an example"
            raise HoldfastError(
                f"{where}: has {len(example.input_ids)} tokens and does not fit a row of {max_length}; truncate it or "
                "pack into longer rows."
            )
        by_source.setdefault(example.source, []).append(example)
    bins = _best_fit_decreasing if strategy == "bfd" else _next_fit
    return [_joined(row) for source in sorted(by_source) for row in bins(by_source[source], max_length)]


def _best_fit_decreasing(examples: Sequence[Example], max_length: int) -> list[list[Example]]:
    rows: list[list[Example]] = []
    room: list[tuple[int, int]] = []  # (free tokens, row), sorted; equal room: the older row first.
    for example in sorted(examples, key=lambda e: -len(e.input_ids)):
        size = len(example.input_ids)
        at = bisect.bisect_left(room, (size, -1))
        free, row = room.pop(at) if at < len(room) else (max_length, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(example)
        bisect.insort(room, (free - size, row))
    return rows


def _next_fit(examples: Sequence[Example], max_length: int) -> list[list[Example]]:
    rows: list[list[Example]] = []
    free = -1
    for example in examples:
        size = len(example.input_ids)
        if size > free:
            rows.append([])
            free = max_length
        rows[-1].append(example)
        free -= size
    return rows


def _joined(row: Sequence[Example]) -> Example:
    if len(row) == 1:
        return row[0]
    return Example(
        input_ids=tuple(i for example in row for i in example.input_ids),
        labels=tuple(i for example in row for i in example.labels),
        source=row[0].source,
        lengths=tuple(n for example in row for n in (example.lengths or (len(example.input_ids),))),
        origin=row[0].origin,
    )
