"""Glances at a reranker: how far its scores have moved from the base's, and how likely it finds relevant documents.

Both are smooth in the weights, where an order flips or does not. A glance ranks a quarter of the validation queries.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from holdfast.bench.heal.validation import first_groups
from holdfast.rerank.scoring import Reranker
from holdfast.rerank.suite import RerankSuite, Scores


def glanced_queries(suites: Sequence[RerankSuite]) -> list[RerankSuite]:
    """Returns about a quarter of each suite, and some query of every one; a group is whole in it or not in it."""
    chosen = []
    for suite in suites:
        groups = suite.collection.groups()
        inside = first_groups(collections.Counter(groups[query] for query in suite.collection.judged))
        queries = {query for query in suite.collection.judged if groups[query] in inside}
        chosen.append(RerankSuite(suite.collection.only(queries), suite.role))
    return chosen


class Nats:
    """The two numbers of a glance, in nats for each query, as the mean of the suites' means.

        kept     sum_D p0(D) log(p0(D) / p(D))    on retained queries
        learned  -(1/R) sum_{D relevant} log p(D)   on learned queries

    `p` is the softmax of a model's scores over the candidates D of a query, `p0` that of the base's, and R the number
    of relevant candidates.
    """

    def __init__(self, suites: Sequence[RerankSuite], base: Mapping[str, Scores]) -> None:
        """Takes the suites, and by suite the base's scores of each candidate of each query."""
        self.suites, self.base = suites, base

    def of(self, reranker: Reranker) -> tuple[float, float]:
        """Returns what a model gives on the queries to keep, and on those of the task; 0 without such suites."""
        kept, learned = list[float](), list[float]()
        for suite in self.suites:
            raw = suite.ask(reranker).raw
            if suite.role == "retained":
                kept.append(_mean([divergence(self.base[suite.name][query], raw[query]) for query in raw]))
            else:
                grades = suite.collection.judgments
                nats = [surprise(raw[query], {at for at, grade in grades[query].items() if grade > 0}) for query in raw]
                learned.append(_mean([value for value in nats if value is not None]))
        return _mean(kept), _mean(learned)


def divergence(base: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Returns KL(softmax of the base's scores || softmax of the other scores) over the documents of a query."""
    documents = list(base)
    first, last = (_log_softmax([scores[at] for at in documents]) for scores in (base, after))
    return float((np.exp(first) * (first - last)).sum())


def surprise(scores: Mapping[str, float], relevant: set[str]) -> float | None:
    """Returns the mean negative log-probability of the relevant documents of a query; None if none is a candidate."""
    documents = list(scores)
    chosen = [place for place, at in enumerate(documents) if at in relevant]
    return -float(_log_softmax([scores[at] for at in documents])[chosen].mean()) if chosen else None


def _log_softmax(scores: Sequence[float]) -> npt.NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    shifted = values - values.max()
    logs: npt.NDArray[np.float64] = shifted - math.log(np.exp(shifted).sum())
    return logs


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
