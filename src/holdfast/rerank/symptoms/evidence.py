"""The evidence for symptoms of rerankers: the scores of both models for the same candidates of the same queries."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from holdfast.probes.score import Role, for_stats
from holdfast.rerank.suite import Ranked, RerankSuite
from holdfast.symptoms.symptom import Quote

Vector = npt.NDArray[np.float64]
SHOWN = 70
"""Most characters of a document in a quote."""


@dataclasses.dataclass(frozen=True)
class Ranking:
    """The scores of both models for the candidates of one query.

    Attributes:
        suite: Name of the suite.
        query_id: Name of the query.
        query: Its text.
        group: Name that dependent queries share.
        documents: The content of each candidate.
        relevant: Whether each candidate is relevant, `[n]`.
        before: The base's raw scores, `[n]`.
        after: The tuned model's, `[n]`.
        ndcg: nDCG@10 of both models, from 0 to 1.
        role: What the suite measures; symptoms are sought in "retained" suites.
    """

    suite: str
    query_id: str
    query: str
    group: str
    documents: tuple[str, ...]
    relevant: npt.NDArray[np.bool_]
    before: Vector
    after: Vector
    ndcg: tuple[float, float]
    role: Role = "retained"

    @property
    def cluster(self) -> str:
        """Returns the group of the query, apart from groups of the same name in other suites."""
        return f"{self.suite} {self.group}"

    def quote(self) -> Quote:
        """Returns the query with the first document and the range of the scores under each model."""
        return Quote(self.suite, self.query_id, self.query, self._shown(self.before), self._shown(self.after))

    def _shown(self, scores: Vector) -> str:
        first = int(scores.argmax())
        mark = "relevant" if self.relevant[first] else "not relevant"
        text = self.documents[first]
        text = text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
        return f"scores {scores.min():+.2f} to {scores.max():+.2f}; first, {mark}: {text}"


@dataclasses.dataclass(frozen=True)
class RankingEvidence:
    """What symptoms of rerankers are sought in.

    Attributes:
        rankings: The scores of all queries.
        logits: Whether the scores of both models are logits, so that their sigmoids are probabilities.
    """

    rankings: Sequence[Ranking] = ()
    logits: bool = True

    @property
    def retained(self) -> list[Ranking]:
        """Returns the rankings that are not of the learned domain, with at least two candidates."""
        return [ranking for ranking in self.rankings if ranking.role == "retained" and ranking.before.size > 1]


def evidence_of(
    suites: Sequence[RerankSuite], before: Sequence[Ranked], after: Sequence[Ranked], *, logits: bool = True
) -> RankingEvidence:
    """Returns the evidence in the scores of both models for the same suites."""
    rankings = []
    for suite, first, last in zip(suites, before, after, strict=True):
        scores = {score.item: score for score in first.scores}
        values = {score.item: for_stats(score.value) for score in last.scores}
        for query, of_query in first.raw.items():
            ids = list(of_query)
            rankings.append(
                Ranking(
                    suite=suite.name,
                    query_id=query,
                    query=suite.collection.queries[query].text,
                    group=scores[query].group,
                    documents=tuple(suite.collection.documents[at].content for at in ids),
                    relevant=np.array([at in suite.collection.relevant(query) for at in ids], dtype=bool),
                    before=_vector(of_query, ids),
                    after=_vector(last.raw[query], ids),
                    ndcg=(for_stats(scores[query].value), values[query]),
                    role=suite.role,
                )
            )
    return RankingEvidence(tuple(rankings), logits)


def _vector(scores: Mapping[str, float], ids: Sequence[str]) -> Vector:
    return np.array([scores[at] for at in ids], dtype=np.float64)
