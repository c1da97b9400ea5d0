"""The first stage: BM25 chooses the candidates that a reranker orders.

Reference:
    Stephen Robertson and Hugo Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009; computed by
    bm25s (Xing Han Lù, 2024, arXiv:2407.03618) in Lucene's variant with k1 = 1.5, b = 0.75 and its English stop words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from holdfast.rerank.collection import Collection
from holdfast.rerank.extra import needed

DEPTH = 100
"""Number of candidates of a query, as usual in the field."""


def with_candidates(
    collection: Collection, depth: int = DEPTH, *, add_relevant: bool = False, notes: list[str] | None = None
) -> Collection:
    """Returns the collection with the documents that BM25 ranks first as the candidates of each judged query.

    A query of a group ranks the documents of its group alone, all of them up to `depth`. Other queries rank all
    documents, and one that shares no word with the query is no candidate. Documents with equal scores keep the order of
    the corpus, so the result is the same on every machine.

    Args:
        collection: The collection.
        depth: Most candidates of a query.
        add_relevant: Whether a relevant document that BM25 has not found replaces the last candidate. Metrics of such
            candidates are those of the reranker alone; without, they are those of both stages together.
        notes: Receives a sentence on how many relevant documents are among the candidates.
    """
    ids = list(collection.documents)
    places = _places(collection)
    candidates: dict[str, tuple[str, ...]] = {}
    found = wanted = 0
    for query, scores in _scores(collection):
        group = collection.queries[query].group
        among = places.get(group)
        if among is None:
            among = np.flatnonzero(scores > 0)
        order = among[np.argsort(-scores[among], kind="stable")][:depth]
        chosen = [ids[place] for place in order]
        relevant = collection.relevant(query)
        found, wanted = found + len(relevant.intersection(chosen)), wanted + len(relevant)
        candidates[query] = tuple(_with_relevant(chosen, sorted(relevant), depth) if add_relevant else chosen)
    if notes is not None and wanted:
        added = "; the others are added" if add_relevant and found < wanted else ""
        notes.append(
            f"{collection.name}: {found / wanted:.1%} of the relevant documents are among the first {depth} of"
            f" BM25{added}."
        )
    return dataclasses.replace(collection, candidates=candidates)


def ranks(collection: Collection) -> dict[str, dict[str, float]]:
    """Returns the order of the candidates as scores: the number of documents from each to the end of its list."""
    return {
        query: {document: float(len(documents) - place) for place, document in enumerate(documents)}
        for query, documents in collection.candidates.items()
    }


def _with_relevant(chosen: list[str], relevant: list[str], depth: int) -> list[str]:
    """Returns candidates with all relevant documents: missing ones in place of the last that are not relevant."""
    missing = [document for document in relevant if document not in {*chosen}]
    keep, over = [*chosen], len(chosen) + len(missing) - depth
    for document in reversed(chosen):
        if over > 0 and document not in {*relevant}:
            keep.remove(document)
            over -= 1
    return [*keep, *missing]


def _places(collection: Collection) -> dict[str, npt.NDArray[np.int64]]:
    """Returns the places of the documents of each group; a group without documents has none."""
    places: dict[str, list[int]] = {}
    for place, document in enumerate(collection.documents.values()):
        if document.group:
            places.setdefault(document.group, []).append(place)
    return {group: np.array(members, dtype=np.int64) for group, members in places.items()}


def _scores(collection: Collection) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Yields each judged query with the scores of all documents."""
    bm25s = needed("bm25s")
    split = {"stopwords": "en", "show_progress": False, "return_ids": False}
    retriever = bm25s.BM25()
    contents = bm25s.tokenize([document.content for document in collection.documents.values()], **split)
    queries = collection.judged
    asked = bm25s.tokenize([collection.queries[query].text for query in queries], **split)
    nothing = np.zeros(len(collection.documents), dtype=np.float32)
    if not any(contents):
        yield from ((query, nothing) for query in queries)
        return
    retriever.index(contents, show_progress=False)
    known = retriever.vocab_dict
    for query, words in zip(queries, asked, strict=True):
        words = [word for word in words if word in known]
        yield query, retriever.get_scores(words) if words else nothing


def by_bm25(collection: Collection) -> dict[str, dict[str, float]]:
    """Returns the score of BM25 for each candidate that a collection already has, counted over all documents."""
    places = {document: place for place, document in enumerate(collection.documents)}
    return {
        query: {document: float(scores[places[document]]) for document in collection.candidates.get(query, ())}
        for query, scores in _scores(collection)
    }
