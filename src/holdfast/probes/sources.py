"""Finds the items of a source: a file of items, a public benchmark, or a name that a package offers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.core.errors import HoldfastError
from holdfast.data.clones import split_named
from holdfast.data.files import records_of, suffix_of
from holdfast.data.schemes import offered
from holdfast.data.sources import open_source
from holdfast.probes.benchmarks import Benchmark, benchmark_of
from holdfast.probes.items import Item, item_of, read_items
from holdfast.probes.options import counts_from_one

GROUP = "holdfast.suites"
"""Entry points of this group are functions that take the name behind the colon and return items, or None."""

LIKE = (
    'An item looks like {"id": "q1", "suite": "facts", "prompt": "2+2?", "choices": ["4", "5"]}, the right choice '
    'first, or {"id": "q1", "suite": "facts", "prompt": "2+2?", "check": {"number": 4}}.'
)
"""The hint in messages about records that look like items and are not."""

_SPLITS = (("test", "validation", "train"), ("validation", "train"), ("train",))
_IDS = ("id", "ID", "ind", "idx", "qID", "question_id", "pairID")


def items_of(source: str, notes: list[str] | None = None) -> Sequence[Item] | None:
    """Returns the items of a source, or None if the source holds rows or texts.

    A JSON file (.jsonl, .ndjson, .json, also .gz) holds items if its first record has an `id` and a `suite`, or a
    `check`. Files, folders and hub sets of public benchmarks are recognised by their fields
    (`holdfast.probes.benchmarks`); their test split is read, or the next one that says which answers are right.

    Args:
        source: A path, a hub id, or a name that a package offers.
        notes: Receives sentences: the recognised benchmark, the number of items, and records left out.

    Raises:
        HoldfastError: An item of a file is malformed, a record looks like an item and is not, or a package does not
            know the name.
    """
    offer = offered(GROUP, source)
    if offer is not None:
        make, name = offer
        items: Sequence[Item] | None = make(name)
        return items
    path = Path(source).expanduser()
    if path.is_file() and suffix_of(path) in (".jsonl", ".ndjson", ".json"):
        try:
            _, first = next(records_of(path, path.name), ("", None))
        except HoldfastError:
            return None  # The reader of rows reports the error.
        if isinstance(first, dict) and _is_item(first):
            return read_items(path)
    for splits in _SPLITS:
        sentences: list[str] = []
        try:
            groups = _groups(source, splits, sentences)
        except HoldfastError:
            return None
        if groups is None:
            return None
        kind, records = groups
        if kind is None:
            origin, record = records[0]
            names = ", ".join(map(repr, record))
            raise HoldfastError(f"{origin}: looks like an item, but its fields ({names}) are of no known set. {LIKE}")
        items_of_set = items_from(kind, records, _suite_of(path), sentences)
        if items_of_set:
            if notes is not None:
                notes += [*sentences, *_untold(records, _suite_of(path))]
            return items_of_set
        if path.is_file():
            break
    name = kind.name if kind is not None else "items"
    raise HoldfastError(f"{source}: holds {name}, but no record says which answer is right. {LIKE}")


def _untold(records: Sequence[tuple[str, Mapping[str, Any]]], suite: str) -> list[str]:
    """Returns a sentence if the numbers of right choices do not tell from where they count."""
    if counts_from_one([record for _, record in records]) is not None:
        return []
    return [
        f"{suite}: the numbers of the right choices are read as counting from 0, though none is 0; if they count from"
        " 1, write letters instead."
    ]


def _may_be_item(record: Mapping[str, Any]) -> bool:
    """Returns whether a record has choices and no fields of a training row."""
    return bool({"choices", "options", "endings"} & set(record)) and not {"completion", "messages", "text"} & set(
        record
    )


_OPTIONS = {"choices", "options"}
_RIGHT = {"label", "target", "gold", "answerKey"}


def _is_item(fields: Mapping[str, Any]) -> bool:
    """Returns whether a record is an item as we write it, rather than a question that says which choice is right."""
    names = set(fields)
    if "check" in names:
        return True
    question = names & {"question", "query"} or "options" in names
    points = bool(_OPTIONS & names) and bool(_RIGHT & names or (question and "answer" in names))
    return {"id", "suite"} <= names and not points


def _groups(
    source: str, splits: Sequence[str], sentences: list[str]
) -> tuple[Benchmark | None, list[tuple[str, Mapping[str, Any]]]] | None:
    """Returns the benchmark of a source and its records with their origins; None if no benchmark fits.

    If no benchmark fits but the first record looks like an item, the benchmark is None and the record is returned.

    Raises:
        HoldfastError: The source cannot be read.
    """
    kind: Benchmark | None = None
    records: list[tuple[str, Mapping[str, Any]]] = []
    for label, group in open_source(source, splits=splits, notes=sentences):
        for origin, record in group:
            if not isinstance(record, Mapping):
                return None
            if kind is None:
                kind = benchmark_of(record, f"{_suite_of(Path(source).expanduser())} {label}")
                if kind is None:
                    return (None, [(origin, record)]) if _may_be_item(record) else None
            records.append((origin, record))
    return None if kind is None else (kind, records)


def items_from(
    kind: Benchmark, records: Sequence[tuple[str, Mapping[str, Any]]], suite: str, sentences: list[str]
) -> list[Item]:
    """Returns the items of a set's records.

    Args:
        kind: The kind of the set.
        records: Its records, each with its place.
        suite: Name of the suite.
        sentences: Receives sentences: the kind of the set, how many items it has, the records that are left out.

    Raises:
        HoldfastError: If a record is not of this kind; names its place.
    """
    from_one = bool(counts_from_one([record for _, record in records]))
    ids = _ids([record for _, record in records])
    items, unsaid = [], 0
    for (origin, record), name in zip(records, ids, strict=True):
        try:
            asked = kind.asks(record, from_one)
        except (HoldfastError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise HoldfastError(
                f"{origin}: is not a record of {kind.name} ({error}); mend or delete it. {LIKE}"
            ) from None
        if asked is None or ("choices" in asked and len(asked["choices"]) < 2):
            unsaid += 1
            continue
        group = record.get(kind.group)
        beside = {"group": str(group)} if kind.group and group not in (None, "") else {}
        named = record["suite"] if isinstance(record.get("suite"), str) and "id" in record else suite
        items.append(item_of({"id": name, "suite": named, **beside, **asked}, origin))
    sentences.append(f"{suite}: {kind.name}; {len(items):,} items.")
    if from_one:
        sentences.append(f"{suite}: the numbers of the right choices count from 1.")
    if unsaid:
        sentences.append(
            f"{suite}: {unsaid:,} of {len(records):,} records do not say which answer is right, and are left out."
        )
    return items


def _ids(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns a name for each record: its own id if all have different ones, else its number."""
    for field in _IDS:
        named = [str(record[field]) for record in records if record.get(field) not in (None, "")]
        if len(named) == len(records) == len(set(named)):
            return named
    return [str(number) for number in range(1, len(records) + 1)]


def _suite_of(path: Path) -> str:
    """Returns the name of a suite: that of its file, or of the folder if the file is named after a split."""
    stem = re.split(r"[.:]", path.name)[0] or path.name
    words = [word for word in re.split(r"[\W_]+", stem) if word and not word.isdigit()]
    named_after_split = bool(words) and all(split_named(word) or word == "of" for word in words)
    return path.resolve().parent.name if path.is_file() and named_after_split else stem
