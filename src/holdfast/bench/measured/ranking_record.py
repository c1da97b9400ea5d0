"""The metrics of two rerankers on a suite, as rows of a record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from holdfast.bench.measured.schema import Record, column


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricRow(Record):
    """The change of a metric, in points (percent of the best possible value).

    Attributes:
        before: Its mean over the queries of the suite under the base.
        after: Its mean under the tuned model.
        change: `after` minus `before`.
        low: Lower end of the change's 95% interval over groups of queries; absent for a single group.
        high: Upper end.
    """

    before: float
    after: float
    change: float
    low: float | None = column(default=None)
    high: float | None = column(default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RankingRow(Record):
    """What two rerankers made of the candidates of a suite.

    Attributes:
        queries: Number of queries.
        candidates: Mean number of candidates of a query.
        bm25: nDCG@10 in points if BM25 orders the candidates.
        metrics: The metrics by their names in ir_measures; nDCG@10 is the one that is judged.
        tied_before: Number of queries with two candidates of equal score under the base.
        tied_after: The number under the tuned model.
    """

    queries: int
    candidates: float
    bm25: float
    metrics: Mapping[str, MetricRow]
    tied_before: int
    tied_after: int
