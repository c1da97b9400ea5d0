"""Measures rerankers on suites of queries: the suites of a command, their metrics before and after, as rows."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence

from holdfast.bench.given.model_files import RERANKER
from holdfast.bench.given.specs import MeasuringSpec
from holdfast.bench.measured.ranking_record import MetricRow, RankingRow
from holdfast.core.errors import HoldfastError
from holdfast.ground.retrieval import BOTH, GENERAL
from holdfast.probes.changes import changes
from holdfast.probes.score import Role, in_unit
from holdfast.rerank.first_stage import by_bm25
from holdfast.rerank.leaks import leaks
from holdfast.rerank.metrics import MAIN, METRICS
from holdfast.rerank.scoring import Reranker
from holdfast.rerank.sources import read_collection
from holdfast.rerank.suite import Ranked, RerankSuite, suite_of


def named_sources(spec: MeasuringSpec, model: str, *, steers: bool = False) -> list[tuple[Role, str]]:
    """Returns the role and the source of each collection that the options name.

    Args:
        spec: The options.
        model: The model before training; that of the package keeps its domains if the options name nothing.
        steers: Whether these domains have validation queries, which steer, beside the test queries, which judge.
    """
    kept = spec.keep
    if not kept and model == RERANKER:
        split = f"/{BOTH}" if steers else ""
        kept = tuple(f"ground:rerank/{domain}{split}" for domain in GENERAL)
    named: list[tuple[Role, str | None]] = [("learned", spec.test), ("transfer", spec.transfer)]
    named += [("retained", source) for source in kept]
    return [(role, source) for role, source in named if source]


def read_suites(sources: Sequence[tuple[Role, str]], depth: int, notes: list[str]) -> list[RerankSuite]:
    """Returns the suites of some sources, learned ones first.

    Args:
        sources: The role and the source of each (`holdfast.rerank.sources.read_collection`).
        depth: Most candidates that BM25 finds for a query.
        notes: Receives sentences for the user, also on queries that are in a learned and in a retained suite.

    Raises:
        HoldfastError: A source is missing or malformed, or two suites have one name.
    """
    suites: dict[str, RerankSuite] = {}
    for role, source in sources:
        suite = suite_of(read_collection(source, notes), role, depth=depth, notes=notes)
        if suite.name in suites:
            raise HoldfastError(
                f"{source}: another suite is called {suite.name!r}; name it once, or rename the folder."
            )
        suites[suite.name] = suite
    learned = [text for suite in suites.values() if suite.role == "learned" for text in texts_of(suite)]
    for suite in suites.values():
        if suite.role == "retained" and learned:
            notes += leaks(learned, texts_of(suite)).sentences(suite.name)
    return list(suites.values())


def texts_of(suite: RerankSuite) -> list[str]:
    """Returns the texts of the queries of a suite."""
    return [suite.collection.queries[query].text for query in suite.collection.judged]


def rank(
    reranker: Reranker,
    suites: Sequence[RerankSuite],
    moment: str,
    show: Callable[[str, int], Callable[[int, int], None]],
    notes: list[str] | None = None,
) -> list[Ranked]:
    """Returns what a reranker makes of each suite.

    Args:
        reranker: What scores pairs.
        suites: The suites.
        moment: "before" or "after" training, for the progress bar.
        show: Takes the name of a task and its number of pairs, and returns a function `(done, total)` that moves its
            progress bar.
        notes: Receives a sentence for each suite with pairs that are longer than the model reads.
    """
    ranked = []
    for suite in suites:
        ranked.append(suite.ask(reranker, show(f"ranking {suite.name} {moment}", suite.pairs)))
        if reranker.cut and notes is not None:
            notes.append(
                f"{suite.name}: {reranker.cut:,} of {suite.pairs:,} pairs are longer than the model reads ({moment}"
                " training), and their ends are cut off."
            )
    return ranked


def ranking_rows(
    suites: Sequence[RerankSuite], before: Sequence[Ranked], after: Sequence[Ranked]
) -> dict[str, RankingRow]:
    """Returns the metrics of each suite before and after, by its name."""
    return {suite.name: _row(suite, first, last) for suite, first, last in zip(suites, before, after, strict=True)}


def _row(suite: RerankSuite, before: Ranked, after: Ranked) -> RankingRow:
    collection = suite.collection
    return RankingRow(
        queries=len(suite),
        candidates=suite.pairs / len(suite),
        bm25=in_unit(statistics.fmean(suite.ranked(by_bm25(collection)).metrics[MAIN].values())),
        metrics={name: _metric(name, before, after) for name in METRICS},
        tied_before=before.tied,
        tied_after=after.tied,
    )


def _metric(name: str, before: Ranked, after: Ranked) -> MetricRow:
    first, last = (
        [dataclasses.replace(score, value=in_unit(ranked.metrics[name][score.item])) for score in ranked.scores]
        for ranked in (before, after)
    )
    (change,) = changes(first, last)
    low, high = change.interval() if change.known else (None, None)
    return MetricRow(before=change.before, after=change.after, change=change.change, low=low, high=high)
