"""The facts of a reranker's plan, as a table of two columns."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from holdfast.bench.plan.ranking.ranking_record import (
    RankingDataRow,
    RankingKeptRow,
    RankingModelRow,
    RankingPlanRecord,
)
from holdfast.report.plan_words import count, facts_in_columns, time_fact


def ranking_facts_table(record: RankingPlanRecord) -> Table:
    """Returns the facts as a table of two columns."""
    return facts_in_columns(
        [
            *_model_facts(record.model),
            *_data_facts(record.data),
            *_kept_facts(record.kept),
            *(("time", fact) for fact in map(time_fact, record.time)),
        ]
    )


def _model_facts(model: RankingModelRow) -> Iterator[tuple[str, str]]:
    shape = f"{model.layers} layers of width {model.width:,}" if model.layers else "shape unknown"
    yield "model", f"{model.name}: {model.architecture}, {count(model.parameters)} parameters, {shape}"
    yield "tokenizer", f"{model.vocabulary:,} tokens; a pair has at most {model.reads:,}"


def _data_facts(data: RankingDataRow) -> Iterator[tuple[str, str]]:
    yield (
        "data",
        f"{data.name}: {data.lists:,} queries to train on, {data.pairs:,} pairs; a query has {data.documents:.1f}"
        f" documents, {data.relevant:.1f} of them relevant (means)",
    )
    cut = f", {data.cut:,} are cut" if data.cut else ", none is cut"
    yield "tokens", f"{data.tokens:,} a pass; a pair has {data.median:,} (median) to {data.longest:,}{cut}"
    if nothing := data.lists - data.comparable:
        yield "lists", f"{nothing:,} have nothing to compare: all of their documents are relevant, or none"
    yield (
        "copies",
        f"{data.copies:,} queries repeat another; {data.contradictions:,} pairs are relevant in one list and not in"
        " another",
    )
    yield (
        "leaks",
        f"{data.leaked:,} queries that are measured are trained on too, and {data.nearly_leaked:,} almost",
    )
    if data.first_right is not None:
        yield "the base", f"puts a relevant document first in {data.first_right:.0%} of {data.asked:,} sampled lists"
        yield (
            "negatives",
            f"{data.doubtful:,} of {data.negatives:,} in these lists may be relevant: the base gives them over 95% of"
            " the probability of a relevant document",
        )


def _kept_facts(kept: RankingKeptRow | None) -> Iterator[tuple[str, str]]:
    if kept is None:
        yield "kept", "nothing is named, so nothing would show what is lost (--keep)"
        return
    collections = "1 collection" if kept.suites == 1 else f"{kept.suites} collections"
    yield (
        "kept",
        f"{kept.queries:,} queries of {collections} with {kept.candidates:.0f} candidates each; with a budget,"
        f" {kept.watched:,} steer and {kept.judged:,} judge",
    )
    yield "", f"the judging queries tell a loss from none from {kept.least_points:.1f} points up, in the mean"
