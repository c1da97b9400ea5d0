"""Training rows of rerankers: JSONL pairs and lists, and MS MARCO's triples, read as lists of labelled documents."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from holdfast.core.errors import HoldfastError
from holdfast.data.files import records_of, suffix_of
from holdfast.rerank.collection import CandidateList
from holdfast.rerank.text_lines import lines_of

Row = tuple[CandidateList, str]
"""The list of a row, and the id that can only be that of its query; "" without one."""
Part = Literal["query", "document", "documents", "label", "labels", "positive", "negative", "group", "id"]

FIELDS: Mapping[Part, tuple[str, ...]] = {
    "query": ("query", "question", "anchor", "sentence1"),
    "document": ("document", "passage", "text", "sentence2"),
    "documents": ("documents", "docs", "passages", "candidates"),
    "label": ("label", "score", "relevance"),
    "labels": ("labels", "scores"),
    "positive": ("positive", "positives", "pos", "positive_passages", "positive_ctxs"),
    "negative": ("negative", "negatives", "neg", "negative_passages", "negative_ctxs", "hard_negative_ctxs"),
    "group": ("group", "contract"),
    "id": ("query_id", "qid", "id", "_id"),
}
"""Fields of a row by purpose: those of sentence-transformers, FlagEmbedding, Tevatron and DPR. `negative_1`,
`negative_2` ... are read like `negative`."""
_OF_QUERY = ("query_id", "qid")
"""Names of an id that can only be that of the query; the others may number the rows of pairs."""
_KNOWN = {name for names in FIELDS.values() for name in names}
_NUMBERED = re.compile(r"negative_\d+")
_TEXT = ("text", "contents", "content")


def read_rows(path: str | Path, notes: list[str]) -> list[CandidateList]:
    """Returns the lists of a file; rows with the same query are one list.

    - **pairs**: a query, a document and a label in each row.
    - **lists**: a query, its documents and their labels, or its positive and negative documents.
    - **triples** (.tsv): query, relevant document and document that is not, as MS MARCO writes them. A header with the
      names of fields makes it a table of pairs or lists.

    Pairs of one query are joined, also if each has an `id` of its own, which numbers the rows. A `query_id` or `qid`,
    and the `id` of a list, keeps queries with one text apart.

    Args:
        path: The file, .jsonl, .json, .csv, .parquet or .tsv, also .gz.
        notes: Receives a sentence on fields that are not read, documents that stand twice, and queries without a
            relevant document.

    Raises:
        HoldfastError: A row is malformed; names file, line and field.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise HoldfastError(f"{path}: there is no such file.")
    triples = suffix_of(path) == ".tsv" and not _has_header(path)
    rows = list(_triples(path) if triples else _records(path, notes))
    if not rows:
        raise HoldfastError(f"{path.name}: holds no row.")
    lists = _joined(rows, path.name, notes)
    without = [entry for entry in lists if not entry.positives]
    if without:
        notes.append(
            f"{path.name}: {len(without):,} of {len(lists):,} queries have no relevant document (first:"
            f" {without[0].origin})."
        )
    return lists


def _has_header(path: Path) -> bool:
    """Returns whether the first line of a file with tabs names fields, a query among them."""
    names = next(({column.strip() for column in line.split("\t")} for _, line in lines_of(path)), set())
    return not names.isdisjoint(FIELDS["query"]) and all(map(_is_known, names))


def _triples(path: Path) -> Iterator[Row]:
    """Yields the triples of a file with tabs."""
    for origin, line in lines_of(path):
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) != 3 or not all(columns):
            raise HoldfastError(
                f"{origin}: has {len([c for c in columns if c])} filled columns; a triple has three: query, relevant"
                " document, document that is not relevant."
            )
        if all(column.isdecimal() for column in columns):
            raise HoldfastError(
                f"{origin}: holds ids in place of texts; join them with their queries and passages, or give a folder"
                " in BEIR's layout."
            )
        if _is_number(columns[2]) and not _is_number(columns[1]):
            raise HoldfastError(
                f"{origin}: has the number {columns[2]} where a triple has its second document; write a header (query,"
                " document, label) above pairs with labels."
            )
        yield CandidateList(columns[0], (columns[1], columns[2]), (1.0, 0.0), origin=origin), ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _records(path: Path, notes: list[str]) -> Iterator[Row]:
    """Yields the rows of a file with named fields."""
    unread: dict[str, int] = {}
    for origin, record in records_of(path, path.name, notes):
        if not isinstance(record, Mapping):
            raise HoldfastError(
                f"{origin}: is no JSON object; write a query with a document and a label, or with lists."
            )
        for name in _unread(record):
            unread[name] = unread.get(name, 0) + 1
        yield _list(origin, record)
    if unread:
        counted = ", ".join(f"'{name}' ({count:,})" for name, count in unread.items())
        notes.append(f"{path.name}: fields that are not read: {counted}.")


def _unread(record: Mapping[str, Any]) -> list[str]:
    """Returns the fields of a row that nothing reads: unknown ones, and those of a form that it does not have."""
    if _has_sides(record):
        other: tuple[Part, ...] = ("document", "documents", "label", "labels")
    elif _given(record, "documents"):
        other = ("document", "label") if _given(record, "labels") else ("document",)
    else:
        other = ("labels",)
    beside = {name for part in other for name in _given(record, part)}
    beside |= {*_given(record, "label")[1:], *_given(record, "id")[1:]}
    return [name for name in map(str, record) if name in beside or not _is_known(name)]


def _is_known(name: str) -> bool:
    return name in _KNOWN or _NUMBERED.fullmatch(name) is not None


def _has_sides(record: Mapping[str, Any]) -> bool:
    """Returns whether a row holds positive or negative documents."""
    named = _given(record, "positive") or _given(record, "negative")
    return bool(named) or any(map(_NUMBERED.fullmatch, map(str, record)))


def _given(record: Mapping[str, Any], part: Part) -> list[str]:
    """Returns the fields of a part that a row has; the first counts."""
    return [name for name in FIELDS[part] if record.get(name) is not None]


def _list(origin: str, record: Mapping[str, Any]) -> Row:
    query = _value(origin, record, "query")
    if not isinstance(query, str) or not query.strip():
        raise HoldfastError(f"{origin}: has no query; name it by a field {_or(FIELDS['query'])}.")
    documents, labels = _labelled(origin, record)
    if not documents:
        raise HoldfastError(f"{origin}: has no document.")
    group, names = _value(origin, record, "group"), _given(record, "id")
    at = str(record[names[0]]) if names else ""
    entry = CandidateList(
        query=query.strip(),
        documents=documents,
        labels=labels,
        query_id=at,
        group="" if group is None else str(group),
        origin=origin,
    )
    is_pair = not _has_sides(record) and not _given(record, "documents")
    return entry, "" if is_pair and names and names[0] not in _OF_QUERY else at


def _labelled(origin: str, record: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Returns the documents of a row and their labels."""
    positive, negative = _all_texts(origin, record, "positive"), _all_texts(origin, record, "negative")
    if positive or negative:
        return (*positive, *negative), (*[1.0] * len(positive), *[0.0] * len(negative))
    documents, document = _value(origin, record, "documents"), _value(origin, record, "document")
    if documents is None and document is None:
        raise HoldfastError(
            f"{origin}: has no document; name it by a field {_or(FIELDS['document'])}, a list by"
            f" {_or(FIELDS['documents'])}, or give 'positive' and 'negative'."
        )
    if documents is None:
        return (_text(origin, document),), (_label(origin, _value(origin, record, "label")),)
    if not isinstance(documents, list):
        raise HoldfastError(f"{origin}: the documents must be a list, and are {documents!r:.60}.")
    labels = _value(origin, record, "labels")
    labels = _value(origin, record, "label") if labels is None else labels
    if not isinstance(labels, list) or len(labels) != len(documents):
        have = f"{len(labels)} labels" if isinstance(labels, list) else "no list of labels"
        raise HoldfastError(f"{origin}: has {len(documents)} documents and {have}; give each document one.")
    return tuple(_text(origin, entry) for entry in documents), tuple(_label(origin, label) for label in labels)


def _value(origin: str, record: Mapping[str, Any], part: Part) -> Any:
    """Returns the value of the one field of a part that a row has; None without one."""
    names = _given(record, part)
    if len(names) > 1 and part != "label":
        raise HoldfastError(
            f"{origin}: has the fields {' and '.join(map(repr, names))}, which mean the same; keep one."
        )
    return record[names[0]] if names else None


def _all_texts(origin: str, record: Mapping[str, Any], part: Part) -> list[str]:
    """Returns the texts of all fields of a part: a text or a list in each."""
    names = [name for name in record if name in FIELDS[part] or (part == "negative" and _NUMBERED.fullmatch(str(name)))]
    texts: list[str] = []
    for name in names:
        value = record[name]
        for entry in value if isinstance(value, list) else [] if value is None else [value]:
            texts.append(_text(origin, entry))
    return texts


def _text(origin: str, entry: Any) -> str:
    """Returns the text of a document: a string, or a mapping with a text and perhaps a title."""
    if isinstance(entry, Mapping):
        text = next((entry[name] for name in _TEXT if isinstance(entry.get(name), str)), None)
        title = entry.get("title") or ""
        entry = None if text is None else f"{title} {text}".strip()
    if not isinstance(entry, str) or not entry.strip():
        raise HoldfastError(f"{origin}: a document is {entry!r:.60}; give a text, or a 'title' and a 'text'.")
    return entry.strip()


def _label(origin: str, value: Any) -> float:
    if isinstance(value, bool):
        return float(value)
    try:
        label = float(value)
    except (TypeError, ValueError):
        label = math.nan
    if not math.isfinite(label):
        raise HoldfastError(
            f"{origin}: the label is {value!r:.60}; give a number, 0 for not relevant ({_or(FIELDS['label'])})."
        )
    return label


def _joined(rows: Sequence[Row], name: str, notes: list[str]) -> list[CandidateList]:
    """Returns one list for each query: the documents of all rows with its text, group and own id, each once.

    Of a document that stands twice, the higher label counts.
    """
    by_query: dict[tuple[str, str, str], list[CandidateList]] = {}
    for row, own in rows:
        by_query.setdefault((row.query, row.group, own), []).append(row)
    lists, repeated = [], 0
    for members in by_query.values():
        labels: dict[str, float] = {}
        for row in members:
            for document, label in zip(row.documents, row.labels, strict=True):
                repeated += document in labels
                labels[document] = max(labels.get(document, label), label)
        lists.append(dataclasses.replace(members[0], documents=tuple(labels), labels=tuple(labels.values())))
    if repeated:
        notes.append(f"{name}: {repeated:,} documents stand twice for one query and count once, with the higher label.")
    return lists


def _or(names: Sequence[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)
