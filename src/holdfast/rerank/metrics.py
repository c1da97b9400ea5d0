"""Metrics of rankings, query by query, through ir_measures (which computes them with trec_eval).

Documents with equal scores are ordered by their ids, the larger id first, as trec_eval does: a reranker that gives all
documents one score is ranked by their ids, not by the order of the first stage.

Reference:
    Sean MacAvaney, Craig Macdonald and Iadh Ounis, "Streamlining Evaluation with ir-measures", 2022, arXiv:2111.13466.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.core.errors import HoldfastError, nearest
from holdfast.rerank.extra import needed

MAIN = "nDCG@10"
METRICS = (MAIN, "RR@10", "AP", "R@10", "R@100")
"""The metrics of a reranker by their names in ir_measures: normalised discounted cumulative gain (the main one),
reciprocal rank (its mean is MRR@10), average precision (its mean is MAP) and recall."""


def per_query(
    judgments: Mapping[str, Mapping[str, int]],
    scores: Mapping[str, Mapping[str, float]],
    metrics: Sequence[str] = METRICS,
) -> dict[str, dict[str, float]]:
    """Returns each metric of each query, from 0 to 1.

    A judged query for which no document has a score gets 0. A query without judgments is left out. All judged
    documents count: a relevant one without a score is not found, and lowers nDCG, average precision and recall.

    Args:
        judgments: By query, the grade of each judged document.
        scores: By query, the score of each ranked document; a higher one ranks first.
        metrics: Names of metrics in ir_measures.

    Returns:
        By metric, its value by query, in the order of the judgments.

    Raises:
        HoldfastError: A metric is unknown.
    """
    measures = {name: _measure(name) for name in metrics}
    values = {name: dict.fromkeys(judgments, 0.0) for name in metrics}
    # trec_eval ends the process where a query has grades below 0 alone; like 0 they mean "not relevant".
    grades = {
        query: {document: max(0, int(grade)) for document, grade in of.items()} for query, of in judgments.items()
    }
    run = {
        query: {document: float(score) for document, score in of.items()}
        for query, of in scores.items()
        if query in grades and of
    }
    if run:
        for metric in needed("ir_measures").iter_calc([measure for measure, _ in measures.values()], grades, run):
            for name, (measure, least) in measures.items():
                if measure == metric.measure:
                    values[name][metric.query_id] = float(metric.value) if metric.value >= least else 0.0
    return values


def _measure(name: str) -> tuple[Any, float]:
    """Returns what ir_measures computes for a metric, and the least value that counts.

    Its RR@k orders equal scores otherwise than its other metrics, so RR@k is its RR where that is at least 1/k.
    """
    ir_measures = needed("ir_measures")
    cut = re.fullmatch(r"RR@([1-9]\d*)", name)
    try:
        return ir_measures.parse_measure("RR" if cut else name), 1 / int(cut[1]) - 1e-9 if cut else 0.0
    except (ValueError, NameError, SyntaxError) as error:
        raise HoldfastError(
            f"The metric {name!r} is unknown; use names such as {', '.join(METRICS)}.{nearest(name, METRICS)}"
        ) from error
