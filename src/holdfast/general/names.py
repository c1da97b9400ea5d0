"""What `general` stands for: all items of the suite, or those of one kind."""

from __future__ import annotations

import functools
from collections.abc import Callable

from holdfast.core.errors import HoldfastError, nearest
from holdfast.general import (
    arithmetic,
    capitals,
    code,
    elements,
    formats,
    grammar,
    harmful,
    instructions,
    order,
    reading,
    time,
    tools,
    units,
    words,
)
from holdfast.general.making import PREFIX
from holdfast.probes.items import Item

KINDS: dict[str, Callable[[], list[Item]]] = {
    "capitals": capitals.items,
    "elements": elements.items,
    "units": units.items,
    "arithmetic": arithmetic.items,
    "time": time.items,
    "grammar": grammar.items,
    "words": words.items,
    "order": order.items,
    "reading": reading.items,
    "format": formats.items,
    "instructions": instructions.items,
    "refusals": harmful.requests,
    "lookalikes": harmful.lookalikes,
    "tools": tools.items,
    "code": code.items,
}
"""What makes the items of each kind, by its name."""

ALL = ("", "all", "general")
"""Names of the whole suite."""


def items(name: str = "all") -> list[Item]:
    """Returns the items that a name stands for, always the same in the same order.

    Args:
        name: "all" (or "general", or nothing), the name of a kind (`KINDS`), or that with "general/" before it.

    Raises:
        HoldfastError: If there is no kind of that name.
    """
    kind = name.removeprefix(PREFIX)
    if kind in ALL:
        return [item for own in KINDS for item in _of(own)]
    if kind not in KINDS:
        raise HoldfastError(
            f"'general:{kind}': there is no kind of that name; use all or one of {', '.join(KINDS)}."
            f"{nearest(kind, KINDS)}"
        )
    return list(_of(kind))


@functools.cache
def _of(kind: str) -> tuple[Item, ...]:
    return tuple(KINDS[kind]())
