"""Folders in BEIR's layout: corpus.jsonl, queries.jsonl, and qrels.tsv or qrels/test.tsv, each also as .gz.

Reference:
    Nandan Thakur et al., "BEIR: A Heterogeneous Benchmark for Zero-shot Evaluation of Information Retrieval Models",
    2021, arXiv:2104.08663.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from holdfast.core.errors import HoldfastError
from holdfast.data.files import records_of
from holdfast.rerank.collection import Collection, Document, Query
from holdfast.rerank.trec import read_judgments, read_run

RUN = "run.trec"
"""A TREC run in a folder, also as .gz, whose documents are the candidates."""
GROUP = ("group", "contract")
"""Fields of a query or document that name its group; the first counts."""


def is_folder(path: Path) -> bool:
    """Returns whether a folder has BEIR's layout."""
    return path.is_dir() and _file(path, "corpus.jsonl") is not None and _file(path, "queries.jsonl") is not None


def read_folder(folder: Path, notes: list[str], split: str = "test") -> Collection:
    """Returns the collection of a folder; its name is the folder's.

    A file `run.trec` in the folder gives the candidates, if there is one. If queries have a group (such as a
    contract), the documents of the group alone are ranked for them. The group of a document is its own field, or what
    stands before the last "-" of its id.

    Args:
        folder: The folder.
        notes: Receives a sentence on queries that are not judged, on documents with the same text, and on groups.
        split: Judgments to read if the folder has several (`qrels/test.tsv`).

    Raises:
        HoldfastError: A file is missing or malformed, an id stands twice, or a judgment names an unknown id; names
            file and line.
    """
    folder = folder.expanduser()
    name = folder.name
    documents = _documents(folder, name)
    queries = _queries(folder, name)
    qrels = _qrels(folder, split, notes)
    judgments = read_judgments(qrels, f"{name}/{qrels.relative_to(folder)}", queries, documents)
    collection = _grouped(Collection(name, queries, documents, judgments), notes)
    if (run := _file(folder, RUN)) is not None:
        collection = read_run(run, collection, notes)
        notes.append(f"{name}: the candidates are those of {run.name}.")
    return checked(collection, notes)


def checked(collection: Collection, notes: list[str]) -> Collection:
    """Returns the collection; adds notes on queries without a relevant document and on documents with the same text.

    Raises:
        HoldfastError: No query has a relevant document.
    """
    name, judged = collection.name, collection.judged
    if not judged:
        raise HoldfastError(f"{name}: no query has a relevant document (a grade above 0), so nothing can be measured.")
    without = [query for query in collection.judgments if query not in {*judged}]
    if without:
        notes.append(
            f"{name}: {len(without):,} of {len(collection.judgments):,} judged queries have no relevant document and"
            f" are left out (first: {without[0]})."
        )
    by_text: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    for document in collection.documents.values():
        by_text[document.group, document.content.casefold()].append(document.id)
    copies = [ids for ids in by_text.values() if len(ids) > 1]
    if copies:
        notes.append(_copies(collection, copies))
    empty = sum(not document.content for document in collection.documents.values())
    if empty:
        notes.append(f"{name}: {empty:,} documents are empty.")
    return collection


def _copies(collection: Collection, copies: list[list[str]]) -> str:
    """Returns a sentence on documents with the same text."""
    relevant = {document for query in collection.judged for document in collection.relevant(query)}
    of_relevant = sum(len({*ids} - relevant) for ids in copies if {*ids} & relevant)
    count = sum(len(ids) - 1 for ids in copies)
    unjudged = (
        f"; {of_relevant:,} of these are copies of relevant documents and count as not relevant" if of_relevant else ""
    )
    return f"{collection.name}: {count:,} documents repeat the text of others (first: {copies[0][1]}){unjudged}."


def _file(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _needed(folder: Path, name: str) -> Path:
    path = _file(folder, name)
    if path is None:
        raise HoldfastError(
            f"{folder}: has no {name} (or {name}.gz); BEIR's layout is corpus.jsonl, queries.jsonl and qrels.tsv or"
            " qrels/test.tsv."
        )
    return path


def _qrels(folder: Path, split: str, notes: list[str]) -> Path:
    """Returns the file of judgments: that of a split, or the only one of the folder."""
    splits = sorted(path for path in (folder / "qrels").glob("*.tsv*")) if (folder / "qrels").is_dir() else []
    if (named := next((path for path in splits if path.name.split(".")[0] == split), None)) is not None:
        if len(splits) > 1:
            others = ", ".join(path.name for path in splits if path != named)
            notes.append(f"{folder.name}: the judgments in qrels/{named.name} are read; {others} are not.")
        return named
    if (path := _file(folder, "qrels.tsv")) is not None:
        return path
    if splits:
        names = ", ".join(f"{folder}/{path.name.split('.')[0]}" for path in splits)
        raise HoldfastError(f"{folder}: has no qrels/{split}.tsv; choose one of {names}.")
    return _needed(folder, "qrels.tsv")


def splits_of(folder: Path) -> list[str]:
    """Returns the names of the judgments in a folder's `qrels/`."""
    return sorted({path.name.split(".")[0] for path in (folder / "qrels").glob("*.tsv*")})


def _documents(folder: Path, name: str) -> dict[str, Document]:
    documents: dict[str, Document] = {}
    for origin, record in _records(folder, name, "corpus.jsonl"):
        at = _id(origin, record, documents)
        title, text = _string(origin, record, "title", ""), _string(origin, record, "text")
        documents[at] = Document(at, text, title, _group(record), origin)
    if not documents:
        raise HoldfastError(f"{name}/corpus.jsonl: holds no document.")
    return documents


def _queries(folder: Path, name: str) -> dict[str, Query]:
    queries: dict[str, Query] = {}
    for origin, record in _records(folder, name, "queries.jsonl"):
        at = _id(origin, record, queries)
        text = _string(origin, record, "text")
        if not text.strip():
            raise HoldfastError(f"{origin}: the query {at!r} is empty; write its 'text' or delete the line.")
        queries[at] = Query(at, text, _group(record), origin)
    if not queries:
        raise HoldfastError(f"{name}/queries.jsonl: holds no query.")
    return queries


def _records(folder: Path, name: str, file: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    path = _needed(folder, file)
    for origin, record in records_of(path, f"{name}/{path.name}"):
        if not isinstance(record, Mapping):
            raise HoldfastError(f"{origin}: is no JSON object; a line has the fields '_id' and 'text'.")
        yield origin, record


def _id(origin: str, record: Mapping[str, Any], known: Mapping[str, Query | Document]) -> str:
    value = record.get("_id", record.get("id"))
    if not isinstance(value, (str, int)) or isinstance(value, bool) or value == "":
        raise HoldfastError(f"{origin}: has no '_id'; give every line one.")
    if str(value) in known:
        raise HoldfastError(
            f"{origin}: the id {str(value)!r} stands at {known[str(value)].origin} already; give each its own."
        )
    return str(value)


def _string(origin: str, record: Mapping[str, Any], field: str, default: str | None = None) -> str:
    value = record.get(field, default)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise HoldfastError(f"{origin}: the field '{field}' must be a text, and is {value!r}.")
    return value


def _group(record: Mapping[str, Any]) -> str:
    return next((str(record[field]) for field in GROUP if record.get(field) not in (None, "")), "")


def _grouped(collection: Collection, notes: list[str]) -> Collection:
    """Returns the collection with the group of each document, if its queries have groups."""
    groups = {query.group for query in collection.queries.values()} - {""}
    if not groups:
        return collection
    documents = {
        at: document if document.group else dataclasses.replace(document, group=_group_in(at, groups))
        for at, document in collection.documents.items()
    }
    lost = sum(not document.group for document in documents.values())
    if lost:
        notes.append(
            f"{collection.name}: queries have {len(groups):,} groups, but {lost:,} of {len(documents):,} documents have"
            " none, so every query ranks all documents."
        )
        return collection
    for query, grades in collection.judgments.items():
        wanted = collection.queries[query].group
        if stray := next((at for at, grade in grades.items() if grade > 0 and documents[at].group != wanted), None):
            raise HoldfastError(
                f"{collection.queries[query].origin}: the query {query!r} is of group {wanted!r}, and its relevant"
                f" document {stray!r} of {documents[stray].group!r}; mend one of them."
            )
    notes.append(f"{collection.name}: every query ranks the documents of its group ({len(groups):,} groups).")
    return dataclasses.replace(collection, documents=documents)


def _group_in(document: str, groups: set[str]) -> str:
    """Returns the group that stands before the last "-" of an id; "" without one."""
    start = document.rpartition("-")[0]
    return start if start in groups else ""
