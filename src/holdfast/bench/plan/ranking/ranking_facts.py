"""Facts about the lists that a reranker shall learn, and the queries that it shall keep."""

from __future__ import annotations

import collections
import dataclasses
import random
import statistics
from collections.abc import Sequence
from typing import Any

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.measured.ranking import texts_of
from holdfast.bench.plan.ranking.ranking_record import RankingDataRow, RankingKeptRow, RankingModelRow
from holdfast.bench.run.ranking_data import RankingData
from holdfast.core.precision import computing_in
from holdfast.probes.changes import changes, mean_of
from holdfast.probes.score import Score
from holdfast.rerank.collection import CandidateList
from holdfast.rerank.leaks import leaks, normalised
from holdfast.rerank.negatives import without_false_negatives
from holdfast.rerank.scoring import CrossEncoderReranker
from holdfast.rerank.suite import RerankSuite
from holdfast.rerank.transformer import inner_of

ASKED = 200
"""Most lists that the base ranks."""


def ranking_model_row(run: RunSpec, reranker: CrossEncoderReranker) -> RankingModelRow:
    """Returns what is known of a cross-encoder."""
    inner: Any = inner_of(reranker.model)
    config = inner.config.get_text_config()
    return RankingModelRow(
        name=run.model,
        architecture=type(inner).__name__,
        parameters=sum(p.numel() for p in reranker.model.parameters()),
        layers=int(getattr(config, "num_hidden_layers", 0)),
        width=int(getattr(config, "hidden_size", 0)),
        reads=int(reranker.model.max_seq_length or run.max_length),
        vocabulary=len(reranker.model.tokenizer),
    )


def lengths_of(lists: Sequence[CandidateList], tokenizer: Any) -> list[list[int]]:
    """Returns the number of tokens of each pair of each list, special tokens included."""
    pairs = [(entry.query, text) for entry in lists for text in entry.documents]
    encoded = tokenizer(*map(list, zip(*pairs, strict=True)), padding=False, truncation=False, verbose=False)
    counts = iter([len(ids) for ids in encoded["input_ids"]])
    return [[next(counts) for _ in entry.documents] for entry in lists]


def ranking_data_row(
    run: RunSpec, data: RankingData, lengths: Sequence[Sequence[int]], reads: int, base: CrossEncoderReranker
) -> RankingDataRow:
    """Returns what the lists hold, and what the base makes of a sample of them.

    Args:
        run: The run that is planned.
        data: What it reads.
        lengths: Number of tokens of each pair of each list.
        reads: Most tokens of a pair that the model reads.
        base: The model.
    """
    lists = data.lists
    flat = [length for of_list in lengths for length in of_list]
    queries = collections.Counter(normalised(entry.query) for entry in lists)
    leaked = [leaks([entry.query for entry in lists], texts_of(suite)) for suite in data.suites]
    row = RankingDataRow(
        name=run.data,
        lists=len(lists),
        pairs=len(flat),
        documents=len(flat) / len(lists),
        relevant=sum(len(entry.positives) for entry in lists) / len(lists),
        comparable=sum(0 < len(entry.positives) < len(entry.documents) for entry in lists),
        tokens=sum(min(length, reads) for length in flat),
        median=round(statistics.median(flat)),
        longest=max(flat),
        cut=sum(length > reads for length in flat),
        copies=len(lists) - len(queries),
        contradictions=len(contradicting(lists)),
        leaked=sum(len(of.exact) for of in leaked),
        nearly_leaked=sum(len(of.near) for of in leaked),
    )
    with computing_in(base.model, run.precision):
        return dataclasses.replace(row, **_ranked(lists, base))


def contradicting(lists: Sequence[CandidateList]) -> set[tuple[str, str]]:
    """Returns the pairs that are relevant in one list and not in another, as normalised texts."""
    grades = collections.defaultdict[tuple[str, str], set[bool]](set)
    for entry in lists:
        for text, label in zip(entry.documents, entry.labels, strict=True):
            grades[normalised(entry.query), normalised(text)].add(label > 0)
    return {pair for pair, found in grades.items() if len(found) > 1}


def _ranked(lists: Sequence[CandidateList], base: CrossEncoderReranker) -> dict[str, Any]:
    """Returns what the base makes of a sample of the lists with something to compare."""
    comparable = [entry for entry in lists if 0 < len(entry.positives) < len(entry.documents)]
    sample = random.Random(0).sample(comparable, min(ASKED, len(comparable)))
    if not sample:
        return {}
    scores = iter(base.score([(entry.query, text) for entry in sample for text in entry.documents]).tolist())
    right = 0
    for entry in sample:
        of = [next(scores) for _ in entry.documents]
        right += max(range(len(of)), key=of.__getitem__) in entry.positives
    kept = without_false_negatives(sample, base, [])
    negatives = sum(len(entry.documents) - len(entry.positives) for entry in sample)
    left = sum(len(entry.documents) - len(entry.positives) for entry in kept)
    return {
        "asked": len(sample),
        "first_right": right / len(sample),
        "negatives": negatives,
        "doubtful": negatives - left,
    }


def ranking_kept_row(suites: Sequence[RerankSuite]) -> RankingKeptRow | None:
    """Returns what is kept; None if nothing is."""
    kept = [suite for suite in suites if suite.role == "retained"]
    if not kept:
        return None
    splits = collections.Counter(item.split for suite in kept for item in suite.items())
    queries = sum(len(suite) for suite in kept)
    return RankingKeptRow(
        suites=len(kept),
        queries=queries,
        watched=splits["watch"],
        judged=splits["proof"],
        candidates=sum(suite.pairs for suite in kept) / queries,
        least_points=_least(kept),
    )


def _least(suites: Sequence[RerankSuite]) -> float:
    """Returns the half width, in points, of the interval of the mean change if no query's score changes."""
    scores = []
    for suite in suites:
        proofs = [item for item in suite.items() if item.split == "proof"]
        for item in proofs or suite.items():
            how: dict[str, Any] = {"suite": suite.name, "role": suite.role, "split": item.split, "item": item.id}
            scores.append(Score(**how, group=item.group, value=50.0, unit="points", higher_is_better=True))
    low, high = mean_of(changes(scores, scores)).interval()
    return (high - low) / 2
