"""The items that a source names: a suite by its name, or what `holdfast.probes.sources` finds; `:N` takes N of them."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

from holdfast.core.errors import HoldfastError
from holdfast.data.files import Record
from holdfast.general.names import place_of
from holdfast.probes import sources
from holdfast.probes.items import Item
from holdfast.suites.embedded import embedded_items
from holdfast.suites.forms import form_of
from holdfast.suites.harness import SCHEME, harness_items
from holdfast.suites.records import records_of
from holdfast.suites.registry import LM_EVAL
from holdfast.suites.words import Word, check_word, few_of, names_general, set_of, shadowed, word_of


def items_of(source: str, notes: list[str] | None = None) -> Sequence[Item] | None:
    """Returns the items that a source names, or None where it names rows or texts instead.

    Args:
        source: The name of a suite (`NAME`, `NAME/PART`, `general`) or of a set of suites, or a source of
            `holdfast.probes.sources.items_of`; with `:N` behind it, N of its items (of each suite of a set): those
            whose ids have the least hash, so that they are the same for every model, and the first 100 are among the
            first 300.
        notes: Gets sentences: where the items come from, how many there are, what is left out.

    Raises:
        HoldfastError: As `holdfast.probes.sources.items_of`; for a name that no suite has, and a suite that cannot be
            had.
    """
    said: list[str] = []
    items = _found(source, said)
    if items is not None and notes is not None:
        notes += said
    return items


def _found(source: str, said: list[str]) -> Sequence[Item] | None:
    word = word_of(source)
    if word is not None:
        return items_of_word(word, said)
    if names_general(source):
        return embedded_items(source, said)
    if words := set_of(source):
        return [item for member in words for item in items_of_word(member, said)]
    if source.startswith(SCHEME):
        return _of_harness(source.removeprefix(SCHEME), said)
    if name := shadowed(source):
        said.append(f"{source}: the file or folder of that name here is read, not the suite {name}.")
    few = few_of(source)
    if few is None:
        check_word(source)
        return sources.items_of(source, said)
    path, count = few
    items = sources.items_of(path, said)
    if items is None:
        raise HoldfastError(f"'{source}': '{path}' holds rows or texts; ':{count}' takes a number of items.")
    return _few(items, count, path, said)


def _of_harness(task: str, said: list[str]) -> Sequence[Item]:
    name, colon, count = task.partition(":")
    items = harness_items(name, said)
    if not colon:
        return items
    if not count.isdecimal() or int(count) < 1:
        raise HoldfastError(f"'{SCHEME}{task}': behind the second colon stands a number of items from 1.")
    return _few(items, int(count), f"{SCHEME}{name}", said)


def items_of_word(word: Word, notes: list[str]) -> Sequence[Item]:
    """Returns the items of a suite that a word names.

    Args:
        word: The suite, its part, and how many of its items.
        notes: Gets sentences, as for `items_of`.

    Raises:
        HoldfastError: If the suite cannot be had, or what was read is not the set.
    """
    records, origin = records_of(word)
    said: list[str] = []
    items = _made(word, records, said)
    task = f"asked as lm-eval {LM_EVAL} asks {word.suite.task}" if word.suite.task else "of no task of lm-eval"
    notes += [f"{word.name}: {len(items):,} items of {origin}, {task}.", *said[1:]]
    return items if word.count is None else _few(items, word.count, word.name, notes)


def _made(word: Word, records: Sequence[Record], said: list[str]) -> list[Item]:
    origin, first = records[0]
    if not isinstance(first, Mapping):
        raise HoldfastError(f"{origin}: is no record of {word.suite.name}.")
    try:
        kind = form_of(word.suite, first)
    except HoldfastError as error:
        raise HoldfastError(f"{origin}: {error}; give the set as it is published.") from error
    asked = kind.asks
    names: list[str | None] = []

    def asks(record: Mapping[str, object], from_one: bool) -> dict[str, object] | None:
        made = asked(record, from_one)
        if made is not None and len(made.get("choices", ("", ""))) > 1:
            names.append(_id_of(word, record))
        return made

    items = sources.items_from(dataclasses.replace(kind, asks=asks), records, word.name, said)
    seen = collections.Counter[str]()
    for place, (item, name) in enumerate(zip(items, names, strict=True)):
        called = name or digest_of(item)
        seen[called] += 1
        called = called if seen[called] == 1 else f"{called}-{seen[called]}"
        group = item.group if kind.group and item.group != item.id else called
        items[place] = dataclasses.replace(item, id=called, group=group)
    return items


def _id_of(word: Word, record: Mapping[str, object]) -> str | None:
    """Returns the name that a record gives an item; None where what it asks is to name it."""
    fields = [str(record[field]) for field in word.suite.ids if record.get(field) not in (None, "")]
    return "/".join(fields) if fields and len(fields) == len(word.suite.ids) else None


def digest_of(item: Item) -> str:
    """Returns a name for an item by what it asks, so that it has the same in every file and every part."""
    asked = [turn.content for turn in item.turns] or [*sorted(item.choices), item.ending, item.text or ""]
    return hashlib.blake2b("\0".join(asked).encode(), digest_size=6).hexdigest()


def _few(items: Sequence[Item], count: int, name: str, said: list[str]) -> Sequence[Item]:
    """Returns the items whose ids have the least hash, in the order of the suite."""
    if count >= len(items):
        said.append(f"{name}: has {len(items):,} items, all of which are taken.")
        return items
    order = sorted(range(len(items)), key=lambda place: (place_of(items[place].id), place))
    said.append(f"{name}: {count:,} of {len(items):,} items are taken, by the hash of their ids.")
    return [items[place] for place in sorted(order[:count])]
