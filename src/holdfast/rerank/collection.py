"""A test collection: queries, documents, judgments of which documents are relevant, and candidates to rank."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection as Names
from collections.abc import Iterable, Mapping, Sequence

from holdfast.core.errors import HoldfastError
from holdfast.probes.items import Split, split_of


@dataclasses.dataclass(frozen=True)
class Query:
    """A query.

    Attributes:
        id: Its name within the collection.
        text: What is searched for.
        group: Name that dependent queries share, such as the contract that they ask about; "" without one.
        origin: File and line, for messages.
    """

    id: str
    text: str
    group: str = ""
    origin: str = ""


@dataclasses.dataclass(frozen=True)
class Document:
    """A document.

    Attributes:
        id: Its name within the collection.
        text: Its text.
        title: Its title; "" without one.
        group: Name of the group whose queries rank it, such as its contract; "" if all queries do.
        origin: File and line, for messages.
    """

    id: str
    text: str
    title: str = ""
    group: str = ""
    origin: str = ""

    @property
    def content(self) -> str:
        """Returns what a model reads: title and text with a blank between them, as BEIR does."""
        return f"{self.title} {self.text}".strip()


@dataclasses.dataclass(frozen=True)
class CandidateList:
    """A query with documents and their labels, as texts: what a reranker trains on, and what it orders.

    Attributes:
        query: The query.
        documents: The documents.
        labels: The grade of each document: 0 is not relevant, above 0 is relevant.
        query_id: Name of the query; "" without one.
        document_ids: Names of the documents; empty without them.
        group: Name that dependent queries share.
        origin: File and line, for messages.
    """

    query: str
    documents: tuple[str, ...]
    labels: tuple[float, ...]
    query_id: str = ""
    document_ids: tuple[str, ...] = ()
    group: str = ""
    origin: str = ""

    @property
    def positives(self) -> tuple[int, ...]:
        """Returns the places of the relevant documents."""
        return tuple(place for place, label in enumerate(self.labels) if label > 0)


@dataclasses.dataclass(frozen=True)
class Collection:
    """Queries, documents, judgments and candidates under one name.

    Attributes:
        name: Name of the collection.
        queries: The queries by id.
        documents: The documents by id.
        judgments: By query id, the grade of each judged document (qrels); a document without a grade is not relevant,
            as usual in the field, and so is one with a grade of 0 or less.
        candidates: By query id, the ids of the documents to rank, best first (the first stage); empty without one.
    """

    name: str
    queries: Mapping[str, Query]
    documents: Mapping[str, Document]
    judgments: Mapping[str, Mapping[str, int]]
    candidates: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def relevant(self, query: str) -> set[str]:
        """Returns the ids of the documents that are relevant to a query."""
        return {document for document, grade in self.judgments.get(query, {}).items() if grade > 0}

    @property
    def judged(self) -> tuple[str, ...]:
        """Returns the ids of the queries with a relevant document, in their order."""
        return tuple(query for query in self.queries if self.relevant(query))

    def only(self, queries: Names[str]) -> Collection:
        """Returns the collection with some of its queries, and all documents."""
        kept = {name: query for name, query in self.queries.items() if name in queries}
        return dataclasses.replace(
            self,
            queries=kept,
            judgments={name: grades for name, grades in self.judgments.items() if name in kept},
            candidates={name: documents for name, documents in self.candidates.items() if name in kept},
        )

    def groups(self) -> dict[str, str]:
        """Returns the group of each query with a relevant document: its own, or what it shares with other queries.

        Queries about the same document are not independent, so queries without a group that share a relevant document,
        directly or over other queries, have the same group: the first of their relevant documents.
        """
        parents: dict[str, str] = {}

        def root(name: str) -> str:
            while parents.setdefault(name, name) != name:
                parents[name] = parents[parents[name]]
                name = parents[name]
            return name

        first: dict[str, str] = {}
        for query in self.judged:
            documents = sorted(self.relevant(query))
            first[query] = documents[0]
            for document in documents[1:]:
                low, high = sorted((root(documents[0]), root(document)))
                parents[high] = low
        return {query: self.queries[query].group or root(document) for query, document in first.items()}

    def side(self, split: Split) -> Collection:
        """Returns the queries on one side, "watch" (validation) or "proof" (test), by the hash of their group."""
        groups = self.groups()
        return self.only({query for query, group in groups.items() if split_of(group) == split})

    def split(self, share: float, seed: int = 0) -> tuple[Collection, Collection]:
        """Returns (train, held out): the hash of a group and the seed decide where all of its queries go.

        Args:
            share: Share of the groups to hold out, in (0, 1); the share holds on average.
            seed: Chooses another split.

        Raises:
            HoldfastError: The share is not in (0, 1), or one side would be empty.
        """
        if not 0 < share < 1:
            raise HoldfastError(f"share={share}: give a number above 0 and below 1 (of the queries).")
        held = {query for query, group in self.groups().items() if place_of(f"{seed}\n{group}") < share}
        kept = set(self.judged) - held
        if not held or not kept:
            raise HoldfastError(
                f"{self.name}: {len(held)} of {len(held) + len(kept)} queries would be held out by their"
                f" {len({*self.groups().values()})} groups; give more queries or another share."
            )
        return self.only(kept), self.only(held)

    def first(self, count: int) -> Collection:
        """Returns up to `count` of the queries with a relevant document, chosen by the hash of their ids."""
        chosen = sorted(self.judged, key=lambda query: (place_of(query), query))[:count]
        return self.only(set(chosen))

    def lists(self, negatives: int | None = None) -> list[CandidateList]:
        """Returns a list for each query with a relevant document: those documents, then candidates that are not.

        Args:
            negatives: Most documents that are not relevant, the first ones among the candidates; all if None.
        """
        return [self._list(query, negatives) for query in self.judged]

    def _list(self, query: str, negatives: int | None) -> CandidateList:
        grades = self.judgments[query]
        relevant = [document for document, grade in grades.items() if grade > 0]
        others = [document for document in self.candidates.get(query, ()) if grades.get(document, 0) <= 0][:negatives]
        documents = (*relevant, *others)
        return CandidateList(
            query=self.queries[query].text,
            documents=tuple(self.documents[document].content for document in documents),
            labels=(*(float(grades[document]) for document in relevant), *[0.0] * len(others)),
            query_id=query,
            document_ids=documents,
            group=self.queries[query].group,
            origin=self.queries[query].origin,
        )


def place_of(name: str) -> float:
    """Returns a number in [0, 1) that depends on a name alone."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest(), "big") / 2**48


def first_lists(lists: Sequence[CandidateList], count: int) -> list[CandidateList]:
    """Returns up to `count` lists in their order: those that `Collection.first` chooses of `collection_of(lists, ...)`.

    Lists with a relevant document come before others.
    """
    names = [_name(entry, number) for number, entry in enumerate(lists, 1)]
    order = sorted(range(len(lists)), key=lambda i: (not lists[i].positives, place_of(names[i]), names[i]))
    return [lists[i] for i in sorted(order[:count])]


def _name(entry: CandidateList, number: int) -> str:
    return entry.query_id or f"q{number}"


def collection_of(lists: Iterable[CandidateList], name: str) -> Collection:
    """Returns lists as a collection whose candidates are the documents of each list; equal texts are one document.

    Raises:
        HoldfastError: A label is not a whole number, because metrics count grades; or two lists have one query.
    """
    queries, documents = dict[str, Query](), dict[str, Document]()
    judgments, candidates = dict[str, dict[str, int]](), dict[str, tuple[str, ...]]()
    by_text: dict[str, str] = {}
    for number, entry in enumerate(lists, 1):
        query = _name(entry, number)
        if query in queries:
            raise HoldfastError(f"{entry.origin or name}: the query {query!r} has two lists; join them to one.")
        queries[query] = Query(query, entry.query, entry.group, entry.origin)
        ids = [by_text.setdefault(text, f"d{len(by_text) + 1}") for text in entry.documents]
        documents |= {
            at: Document(at, text, origin=entry.origin) for at, text in zip(ids, entry.documents, strict=True)
        }
        judgments[query] = _grades(ids, entry, name)
        candidates[query] = tuple(dict.fromkeys(ids))
    return Collection(name, queries, documents, judgments, candidates)


def _grades(ids: Sequence[str], entry: CandidateList, name: str) -> dict[str, int]:
    """Returns the grade of each document of a list; of a document that stands in it twice, the higher one."""
    grades: dict[str, int] = {}
    for document, label in zip(ids, entry.labels, strict=True):
        if label != int(label):
            raise HoldfastError(
                f"{entry.origin or name}: the label {label} is no grade; metrics need whole numbers, 0 for not"
                " relevant."
            )
        grades[document] = max(grades.get(document, 0), int(label))
    return grades
