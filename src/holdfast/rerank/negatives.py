"""Hard negatives: documents that are not judged relevant and look as if they were; and those that may be relevant."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from holdfast.core.errors import HoldfastError
from holdfast.rerank.collection import CandidateList, Collection
from holdfast.rerank.extra import needed


class Scorer(Protocol):
    """What scores pairs of query and document: a `holdfast.rerank.scoring.Reranker`."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> npt.NDArray[np.float64]:
        """Returns one raw score for each pair, `[n]`; a higher one is more relevant."""


def first_stage_negatives(
    collection: Collection, count: int, notes: list[str], *, skip: int = 0
) -> list[CandidateList]:
    """Returns a list for each judged query: its relevant documents, then the first candidates that are not.

    A candidate with the text of a relevant document is no negative.

    Args:
        collection: A collection with candidates.
        count: Most negatives of a query.
        notes: Receives a sentence on copies of relevant documents, and on queries with fewer negatives.
        skip: Number of candidates, from the first, that are left out because they are most likely relevant.

    Raises:
        HoldfastError: The collection has no candidates.
    """
    if not collection.candidates:
        raise HoldfastError(f"{collection.name}: has no candidates to take negatives from; find some by BM25 first.")
    lists, short = [], 0
    for entry in without_copies(collection, notes).lists():
        positives = [place for place, label in enumerate(entry.labels) if label > 0]
        others = [place for place, label in enumerate(entry.labels) if label <= 0]
        chosen = others[skip : skip + count]
        short += len(chosen) < count
        lists.append(_kept(entry, [*positives, *chosen]))
    if short:
        notes.append(f"{collection.name}: {short:,} of {len(lists):,} queries have fewer than {count} negatives.")
    return lists


def without_copies(collection: Collection, notes: list[str]) -> Collection:
    """Returns the collection without candidates that are not judged relevant and have the text of one that is.

    Such a copy would be relevant and not relevant in one training list. In a measurement it stays a candidate.

    Args:
        collection: A collection with candidates.
        notes: Receives a sentence with the number of copies.
    """
    candidates: dict[str, tuple[str, ...]] = {}
    copies = 0
    for query, documents in collection.candidates.items():
        relevant = collection.relevant(query)
        texts = {collection.documents[document].content.casefold() for document in relevant}
        candidates[query] = tuple(
            document
            for document in documents
            if document in relevant or collection.documents[document].content.casefold() not in texts
        )
        copies += len(documents) - len(candidates[query])
    if copies:
        notes.append(f"{collection.name}: {copies:,} candidates have the text of a relevant document and are left out.")
    return dataclasses.replace(collection, candidates=candidates)


def mined_negatives(
    collection: Collection, count: int, notes: list[str], model: Any, *, skip: int = 0, batch_size: int = 32
) -> list[CandidateList]:
    """Returns a list for each judged query: its relevant documents, then the nearest others of an embedding model.

    `sentence_transformers.util.mine_hard_negatives` finds them among all documents (or those of the group).

    Args:
        collection: The collection.
        count: Most negatives of a query.
        notes: Receives a sentence on mined documents that are judged relevant, and on queries with fewer negatives.
        model: A `sentence_transformers.SentenceTransformer`.
        skip: Number of nearest documents, from the first, that are left out because they are most likely relevant.
        batch_size: Number of texts that the model embeds at once.
    """
    mine = needed("sentence_transformers.util").mine_hard_negatives
    datasets = needed("datasets")
    entries = {entry.query_id: entry for entry in collection.lists(0)}
    mined: dict[str, list[str]] = {query: [] for query in entries}
    for group in dict.fromkeys(entry.group for entry in entries.values()):
        members = [entry for entry in entries.values() if entry.group == group]
        pool = _texts(collection, group)
        if len(pool) < 2:  # the library refuses to mine no document
            continue
        rows = {"query": [entry.query for entry in members], "positive": [entry.documents[0] for entry in members]}
        most = max(len(entry.documents) for entry in members)
        found = mine(
            datasets.Dataset.from_dict(rows),
            model,
            anchor_column_name="query",
            positive_column_name="positive",
            corpus=pool,
            range_min=skip,
            range_max=skip + count + most,
            num_negatives=min(count + most - 1, len(pool) - 1),
            output_format="triplet",
            batch_size=batch_size,
            verbose=False,
        )
        by_query: dict[str, list[str]] = {}
        for row in found:
            by_query.setdefault(row["query"], []).append(row["negative"])
        for entry in members:
            mined[entry.query_id] = by_query.get(entry.query, [])
    return _with_mined(entries.values(), mined, count, collection.name, notes)


def _texts(collection: Collection, group: str) -> list[str]:
    """Returns the texts of the documents that queries of a group rank, each once."""
    documents = collection.documents.values()
    return list(dict.fromkeys(each.content for each in documents if not each.group or each.group == group))


def _with_mined(
    entries: Any, mined: dict[str, list[str]], count: int, name: str, notes: list[str]
) -> list[CandidateList]:
    lists, relevant_too, short = [], 0, 0
    for entry in entries:
        known = {document.casefold() for document in entry.documents}
        fresh = [text for text in dict.fromkeys(mined[entry.query_id]) if text.casefold() not in known]
        relevant_too += len(mined[entry.query_id]) - len(fresh)
        chosen = fresh[:count]
        short += len(chosen) < count
        labels = (*entry.labels, *[0.0] * len(chosen))
        lists.append(dataclasses.replace(entry, documents=(*entry.documents, *chosen), labels=labels, document_ids=()))
    if relevant_too:
        notes.append(f"{name}: {relevant_too:,} mined documents are judged relevant or stand twice, and are left out.")
    if short:
        notes.append(f"{name}: {short:,} of {len(lists):,} queries have fewer than {count} negatives.")
    return lists


def without_false_negatives(
    lists: Sequence[CandidateList], base: Scorer, notes: list[str], *, share: float = 0.95
) -> list[CandidateList]:
    """Returns lists without negatives that the base scores almost as high as the relevant documents, or higher.

        dropped if  sigmoid(s_negative) > share * min over positives of sigmoid(s_positive)

    Such documents may well be relevant and only not judged. What the base ranks wrongly is dropped with them, so a
    share near 1 keeps more to learn from.

    Args:
        lists: The lists.
        base: The reranker before training.
        notes: Receives a sentence with the number of dropped documents.
        share: Share of the positive's score above which a negative is dropped, positive.

    Raises:
        HoldfastError: The share is not positive.

    Reference:
        Gabriel de Souza P. Moreira et al., "NV-Retriever: Improving text embedding models with effective hard-negative
        mining", 2024, arXiv:2407.15831, section 3 (TopK-PercPos with 95%).

    Departs:
        The paper compares cosine similarities of an embedding model with that of one positive; this function compares
        sigmoids of a reranker's scores with the lowest of all positives.
    """
    if not share > 0:
        raise HoldfastError(f"share={share}: give a number above 0, such as 0.95.")
    scored = [(i, place) for i, entry in enumerate(lists) for place in range(len(entry.documents)) if entry.positives]
    scores = base.score([(lists[i].query, lists[i].documents[place]) for i, place in scored])
    chances: dict[int, dict[int, float]] = {}
    for (i, place), score in zip(scored, scores.tolist(), strict=True):
        chances.setdefault(i, {})[place] = _sigmoid(score)
    kept, dropped, negatives = [], 0, 0
    for i, entry in enumerate(lists):
        of = chances.get(i, {})
        limit = share * min((of[place] for place in entry.positives), default=math.inf)
        places = [place for place, label in enumerate(entry.labels) if label > 0 or of.get(place, 0.0) <= limit]
        negatives += len(entry.labels) - len(entry.positives)
        dropped += len(entry.labels) - len(places)
        kept.append(_kept(entry, places))
    if dropped:
        notes.append(
            f"{dropped:,} of {negatives:,} negatives score above {share:.0%} of their positive under the base, may be"
            " relevant, and are left out."
        )
    return kept


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))


def _kept(entry: CandidateList, places: Sequence[int]) -> CandidateList:
    """Returns a list with the documents at some places."""
    return dataclasses.replace(
        entry,
        documents=tuple(entry.documents[place] for place in places),
        labels=tuple(entry.labels[place] for place in places),
        document_ids=tuple(entry.document_ids[place] for place in places) if entry.document_ids else (),
    )
