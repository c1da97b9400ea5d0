"""Makes the items of a kind: question, prompt to be continued, check and group, the same on every machine."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from holdfast.data.rows import Turn
from holdfast.probes.items import Item

T = TypeVar("T")

PREFIX = "general/"
"""What the name of every suite of this room begins with."""


def question(
    kind: str,
    name: str,
    group: str,
    asked: str,
    plain: str,
    answer: str,
    check: Mapping[str, Any],
    *,
    max_tokens: int = 24,
    tools: Sequence[Mapping[str, Any]] = (),
) -> Item:
    """Returns an item whose answer is generated.

    Args:
        kind: The kind that it belongs to.
        name: Its name within the kind; `id_of` makes the id.
        group: What it shares with other items, of this kind or another.
        asked: The question, for a chat template.
        plain: The prompt that a model without a template continues.
        answer: A right answer.
        check: The markers of a right answer.
        max_tokens: Most tokens of an answer.
        tools: JSON schemas of functions that the template is given.
    """
    return Item(
        id=id_of(name),
        suite=PREFIX + kind,
        group=group,
        turns=(Turn("user", asked, False),),
        answer=answer,
        check=dict(check),
        max_tokens=max_tokens,
        tools=tuple(tools),
        plain=plain,
    )


def choice(kind: str, name: str, group: str, asked: str, plain: str, choices: Sequence[str]) -> Item:
    """Returns an item whose choices are compared, the right one first; without a question they are whole texts."""
    return Item(
        id=id_of(name),
        suite=PREFIX + kind,
        group=group,
        turns=(Turn("user", asked, False),) if asked else (),
        choices=tuple(choices),
        plain=plain if asked else None,
    )


def id_of(name: str) -> str:
    """Returns a name in lower case, with a hyphen for whatever is no letter or digit."""
    return re.sub(r"[^\w]+", "-", name.lower()).strip("-")


def draw(key: str, size: int) -> int:
    """Returns a whole number from 0 to `size` - 1 that follows from the key alone."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") % size


def pick(key: str, options: Sequence[T]) -> T:
    """Returns one of some options, the same for the same key."""
    return options[draw(key, len(options))]


def between(key: str, low: int, high: int) -> int:
    """Returns a whole number from `low` to `high`, both included, the same for the same key."""
    return low + draw(key, high - low + 1)


def shuffled(key: str, options: Sequence[T]) -> list[T]:
    """Returns some options in an order that follows from the key and their places."""
    order = sorted(range(len(options)), key=lambda i: hashlib.blake2b(f"{key} {i}".encode()).digest())
    return [options[i] for i in order]


def says(number: int) -> dict[str, str]:
    """Returns the check that an answer contains a number from 0, with or without commas between its thousands."""
    forms = "|".join(sorted({str(number), f"{number:,}"}))
    return {"regex": rf"(?<![\d.,])(?:{forms})(?!\d|[.,]\d)"}


def an(word: str) -> str:
    """Returns a word with its indefinite article."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
