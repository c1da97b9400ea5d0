"""The suite `general` as a source: `general`, `general:all`, `general:KIND` or `general/KIND`, each with `:N`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from holdfast.core.errors import HoldfastError, nearest
from holdfast.general.names import KINDS, items, spread
from holdfast.probes.items import Item
from holdfast.suites.default import COUNT

NAME = "general"
_WORD = re.compile(rf"{NAME}(?:[:/](?P<kind>[a-z]\w*))?(?::(?P<count>[^:/]*))?")


def is_embedded(source: str) -> bool:
    """Returns whether a source names `general` or a part of it, as its form says."""
    return re.match(rf"{NAME}(?:$|[:/])", source) is not None


def embedded_items(source: str, notes: list[str]) -> Sequence[Item]:
    """Returns the items of `general` that a source names.

    `general` alone stands for `general:N` with N the default number; N items of several kinds are spread evenly.

    Args:
        source: A source of which `is_embedded` is true.
        notes: Gets a sentence: how many items are taken of how many.

    Raises:
        HoldfastError: There is no such kind, or what stands behind the colon is no number of items.
    """
    kind, count = _parsed(source)
    whole = items(kind)
    chosen = spread(whole, len(whole) if count is None else count)
    name = NAME if kind == "all" else f"{NAME}/{kind}"
    if len(chosen) < len(whole):
        evenly = f", spread evenly over {len(KINDS)} kinds," if kind == "all" else ""
        notes.append(f"{name}: {len(chosen):,} of {len(whole):,} items{evenly} are taken by the hash of their ids.")
    else:
        notes.append(f"{name}: {len(whole):,} items, which are all.")
    return chosen


def _parsed(source: str) -> tuple[str, int | None]:
    """Returns the kind, or "all", and the number of items; None for all of them."""
    match = _WORD.fullmatch(source)
    count = match["count"] if match else ""
    if match is None or not (count is None or (count.isdecimal() and int(count) > 0)):
        raise HoldfastError(
            f"'{source}': behind {NAME} stands a kind, a number of items from 1, or both, as in {NAME}:300, "
            f"{NAME}:reading and {NAME}:reading:50."
        )
    kind = match["kind"] or "all"
    if kind != "all" and kind not in KINDS:
        raise HoldfastError(
            f"'{source}': there is no kind of that name; use all or one of {', '.join(KINDS)}.{nearest(kind, KINDS)}"
        )
    if source == NAME:
        return kind, COUNT
    return kind, None if count is None else int(count)
