"""A collection as a suite: each query becomes a score, and paired tests judge the change of its mean."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping

from holdfast.core.errors import HoldfastError
from holdfast.data.digest import digest_of
from holdfast.probes.items import Item, split_of
from holdfast.probes.score import Role, Score, in_unit
from holdfast.rerank.collection import Collection
from holdfast.rerank.first_stage import DEPTH, with_candidates
from holdfast.rerank.metrics import MAIN, METRICS, per_query
from holdfast.rerank.scoring import Progress, Reranker

Scores = Mapping[str, Mapping[str, float]]
"""By query, the score of each candidate."""


@dataclasses.dataclass(frozen=True)
class Ranked:
    """What a reranker made of a suite.

    Attributes:
        scores: The score of each query: nDCG@10 in points.
        raw: By query, the raw score of each candidate.
        metrics: By metric, its value from 0 to 1 of each query.
    """

    scores: tuple[Score, ...]
    raw: Scores
    metrics: Mapping[str, Mapping[str, float]]

    @property
    def tied(self) -> int:
        """Returns the number of queries with two candidates of equal score, whose order is that of their ids."""
        return sum(len({*scores.values()}) < len(scores) for scores in self.raw.values())


@dataclasses.dataclass(frozen=True)
class RerankSuite:
    """A collection whose queries are scored together.

    Attributes:
        collection: The collection, with candidates.
        role: What the suite measures: the learned domain, its transfer, or a retained one.
    """

    collection: Collection
    role: Role = "retained"

    @property
    def name(self) -> str:
        """Returns the name of the suite, that of the collection."""
        return self.collection.name

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.collection.judged)

    @property
    def pairs(self) -> int:
        """Returns the number of pairs of query and document that are scored."""
        return sum(len(self.collection.candidates.get(query, ())) for query in self.collection.judged)

    def items(self) -> tuple[Item, ...]:
        """Returns the queries as items, each with its group in this collection."""
        groups = self.collection.groups()
        return tuple(
            Item(query, self.name, group=groups[query], text=self.collection.queries[query].text)
            for query in self.collection.judged
        )

    def recorded(self) -> tuple[Item, ...]:
        """Returns the queries as items whose groups mean the same in every collection.

        By them a record tells what steered a training (`holdfast_watched.json`).

        A group that is named after a document has a digest of its content: "d1" is another document elsewhere.
        """
        queries, documents = self.collection.queries, self.collection.documents
        return tuple(
            item
            if queries[item.id].group
            else dataclasses.replace(item, group=digest_of([documents[item.group].content]))
            for item in self.items()
        )

    def ask(self, reranker: Reranker, progress: Progress | None = None) -> Ranked:
        """Returns the scores of a reranker on all candidates, and the metrics of the order that they give.

        Args:
            reranker: What scores pairs; unchanged afterwards.
            progress: Called with the number of pairs done and their total.
        """
        collection = self.collection
        asked = [(query, at) for query in collection.judged for at in collection.candidates.get(query, ())]
        pairs = [(collection.queries[query].text, collection.documents[at].content) for query, at in asked]
        raw: dict[str, dict[str, float]] = {query: {} for query in collection.judged}
        for (query, at), score in zip(asked, reranker.score(pairs, progress).tolist(), strict=True):
            raw[query][at] = score
        return self.ranked(raw)

    def ranked(self, raw: Scores) -> Ranked:
        """Returns the metrics of given scores, such as those of the first stage."""
        collection = self.collection
        metrics = per_query({query: collection.judgments[query] for query in collection.judged}, raw, METRICS)
        groups = collection.groups()
        scores = tuple(
            Score(
                suite=self.name,
                role=self.role,
                split=split_of(groups[query]),
                item=query,
                group=groups[query],
                value=in_unit(metrics[MAIN][query]),
                unit="points",
                higher_is_better=True,
            )
            for query in collection.judged
        )
        return Ranked(scores, raw, metrics)


def suite_of(
    collection: Collection, role: Role = "retained", *, depth: int = DEPTH, notes: list[str] | None = None
) -> RerankSuite:
    """Returns a collection as a suite, with BM25's candidates if it has none.

    Queries whose candidates admit one order alone (a single candidate, or candidates of one grade) measure nothing of a
    reranker and are left out, apart from those for which the first stage found no relevant document: their nDCG is 0
    whatever the order, and stays in the mean, as it stands in published figures.

    Args:
        collection: The collection.
        role: What it measures.
        depth: Most candidates that BM25 finds for a query.
        notes: Receives sentences on the candidates and on what is left out.

    Raises:
        HoldfastError: No query has two candidates.
    """
    notes = [] if notes is None else notes
    if not collection.candidates:
        collection = with_candidates(collection, depth, notes=notes)
    judged = collection.judged
    one = [query for query in judged if len(collection.candidates.get(query, ())) == 1]
    same = [query for query in judged if query not in {*one} and _of_one_grade(collection, query)]
    for queries, what in ((one, "have a single candidate"), (same, "have relevant candidates alone")):
        if queries:
            notes.append(
                f"{collection.name}: {len(queries):,} of {len(judged):,} queries {what}, so any order is right; they"
                f" are left out (first: {queries[0]})."
            )
    left = {*judged} - {*one, *same}
    if not left:
        raise HoldfastError(
            f"{collection.name}: no query has candidates to order (of {len(judged):,}, {len(one):,} have one document);"
            " give more documents or lists with several."
        )
    return RerankSuite(collection.only(left), role)


def _of_one_grade(collection: Collection, query: str) -> bool:
    """Returns whether all candidates of a query are equally relevant."""
    grades = collection.judgments[query]
    counts = collections.Counter(max(0, grades.get(at, 0)) for at in collection.candidates.get(query, ()))
    return len(counts) == 1 and 0 not in counts
