"""Leaves out queries that steered the training of a reranker, by the record beside the model."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.bench.diff.diff_record import LeftOutRow, SteeredRow
from holdfast.bench.diff.watched_items import LeftOut, records_of
from holdfast.bench.given.model_files import reranker_or_name
from holdfast.core.errors import HoldfastError
from holdfast.probes.watch_record import WatchRecord
from holdfast.rerank.suite import RerankSuite


def without_watched_queries(
    suites: Sequence[RerankSuite], models: Sequence[str]
) -> tuple[list[RerankSuite], SteeredRow | None]:
    """Returns suites without the queries that steered the training of a model, and what is left out, or None.

    Raises:
        HoldfastError: A record is malformed, or no query is left.
    """
    records = list(dict.fromkeys(path for name in models for path in records_of(reranker_or_name(name))))
    watched = WatchRecord()
    for path in records:
        watched |= WatchRecord.read(path)
    if not len(watched):
        return list(suites), None
    left, counts = [], dict[str, LeftOutRow]()
    for suite in suites:
        rest = {item.id for item in suite.recorded() if not watched.has_item(item)}
        counts[suite.name] = LeftOutRow(left_out=len(suite) - len(rest), of=len(suite), kind="items")
        if rest:
            left.append(RerankSuite(suite.collection.only(rest), suite.role))
    if not any(row.left_out for row in counts.values()):
        return left, None
    out = LeftOut({name: (row.left_out, row.of, "items") for name, row in counts.items()}, tuple(map(str, records)))
    if not left:
        raise HoldfastError(f"{out.sentence()} Name other collections, which did not steer it.")
    return left, out.row()
