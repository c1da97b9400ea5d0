"""The table of the metrics of two rerankers on each collection."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.markup import escape
from rich.table import Table

from holdfast.bench.measured.ranking_record import MetricRow, RankingRow

MEANS = {"RR@10": "MRR@10", "AP": "MAP", "R@10": "recall@10", "R@100": "recall@100"}
"""Metrics shown beside nDCG@10, and what their means are called."""


def points_of(ranking: Mapping[str, RankingRow] | None) -> str:
    """Returns what points are: of a record with the metrics of rerankers, or of another one (None)."""
    return "percent right" if ranking is None else "nDCG@10 times 100"


def ranking_table(ranking: Mapping[str, RankingRow]) -> Table:
    """Returns the metrics before and after beside nDCG@10, which the table of suites shows, and what BM25 reaches."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), caption_justify="left")
    table.add_column("collection", overflow="fold", min_width=8)
    for name in ("candidates", "BM25", *MEANS.values()):
        table.add_column(escape(name), justify="right")
    for name, row in ranking.items():
        cells = (_cell(row.metrics[metric]) for metric in MEANS)
        table.add_row(escape(name), f"{row.candidates:.0f}", f"{row.bm25:.1f}", *cells)
    table.caption = "before > after, in points; BM25: nDCG@10 of its order"
    return table


def tie_lines(ranking: Mapping[str, RankingRow]) -> list[str]:
    """Returns a line for each collection in which more queries have tied scores than before."""
    return [
        f"{name}: {row.tied_after:,} of {row.queries:,} queries have candidates with equal scores ({row.tied_before:,}"
        " before); their order is that of the ids."
        for name, row in ranking.items()
        if row.tied_after > row.tied_before
    ]


def _cell(row: MetricRow) -> str:
    return f"{row.before:.1f} > {row.after:.1f}"
