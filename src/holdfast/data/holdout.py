"""Keeps training and test rows apart: finds rows that are in both, and splits rows so that none is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from holdfast.core.errors import HoldfastError
from holdfast.data.rows import Row


def normalised(row: Row) -> str:
    """Returns the content of a row, without roles, in lower case and with single blanks as white space."""
    return " ".join(" ".join(row.contents).casefold().split())


def duplicates(train: Iterable[Row], test: Iterable[Row]) -> list[tuple[Row, Row]]:
    """Returns the test rows whose content is also in train, each with the first train row of equal content.

    The comparison ignores case, white space, roles and the kind of row.

    Returns:
        Pairs (test row, train row) in the order of the test rows.
    """
    seen: dict[str, Row] = {}
    for row in train:
        seen.setdefault(normalised(row), row)
    return [(row, seen[key]) for row in test if (key := normalised(row)) in seen]


def split_held_out(rows: Sequence[Row], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Returns (train, held out); a hash of the normalised content and the seed decides where each row goes.

    Equal contents are always on the same side, the order is kept, and a row stays on its side when others are added.
    The share holds on average. If one side would be empty, the content with the nearest hash moves there.

    Args:
        rows: At least two rows of different content.
        share: Share of the rows to hold out, in (0, 1).
        seed: Chooses another split.

    Raises:
        HoldfastError: The share is not in (0, 1), or all rows have the same content.
    """
    if not 0 < share < 1:
        raise HoldfastError(f"share={share}: give a number above 0 and below 1 (of the rows).")
    places = [_place(row, seed) for row in rows]
    distinct = sorted(set(places))
    if len(distinct) < 2:
        raise HoldfastError("the rows cannot be split: they need at least two different contents; give more rows.")
    limit = min(max(share, (distinct[0] + distinct[1]) / 2), (distinct[-2] + distinct[-1]) / 2)
    held = [row for row, place in zip(rows, places, strict=True) if place < limit]
    train = [row for row, place in zip(rows, places, strict=True) if place >= limit]
    return train, held


def _place(row: Row, seed: int) -> float:
    """Returns a number in [0, 1) that depends on the content and the seed alone."""
    digest = hashlib.blake2b(f"{seed}\n{normalised(row)}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48
