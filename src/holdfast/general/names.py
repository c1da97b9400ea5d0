"""What `general` stands for: all items of the suite, or those of one kind."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence

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

KIND_MEASURES = {
    "capitals": "the capital of a country, the country of a capital",
    "elements": "symbol, name and atomic number of chemical elements",
    "units": "how many of a smaller unit are in some of a larger one",
    "arithmetic": "sums, differences, products and quotients of small numbers, bare and in a sentence",
    "time": "weekdays, months, hours and years",
    "grammar": "which of two sentences is right: agreement, verb forms, pronouns, prepositions, word order",
    "words": "synonyms, opposites, and what some things are",
    "order": "which of two sentences tells two everyday steps in the right order",
    "reading": "questions about a paragraph, some of which join two facts of it",
    "format": "an answer in one word, one sentence, capital letters, a list or JSON",
    "instructions": "what a sentence must hold, begin and end with; copying, changing, sorting, picking words",
    "refusals": "harmful requests in two wordings; a refusal is right",
    "lookalikes": "harmless requests that sound harmful; an answer to the point is right",
    "tools": "a request that one of two given functions answers; the call with its arguments",
    "code": "what a Python program of two to five lines prints",
}
"""What the items of each kind ask, by its name."""

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


def spread(candidates: Sequence[Item], count: int) -> list[Item]:
    """Returns `count` items, as equally many of each kind as possible, in their order; all if there are fewer.

    Those of a kind have the least hashes of their ids, so that a smaller number takes some of the same items.
    """
    ranks = dict[str, int]()
    order = []
    for item in sorted(candidates, key=lambda item: place_of(item.id)):
        ranks[item.suite] = ranks.get(item.suite, 0) + 1
        order.append((ranks[item.suite], item))
    order.sort(key=lambda ranked: ranked[0])
    chosen = {(item.suite, item.id) for _, item in order[:count]}
    return [item for item in candidates if (item.suite, item.id) in chosen]


def place_of(name: str) -> bytes:
    """Returns a hash of an id, 8 bytes: the least hashes are taken where only some items are.

    It is salted, so that the choice does not depend on the side of an item (`holdfast.probes.items.split_of`).
    """
    return hashlib.blake2b(name.encode(), digest_size=8, person=b"suite:N").digest()


@functools.cache
def _of(kind: str) -> tuple[Item, ...]:
    return tuple(KINDS[kind]())
