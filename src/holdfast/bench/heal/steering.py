"""The record of the validation items that steered a healing, so that nobody judges the healed model by them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from holdfast.bench.diff.watched_items import records_of
from holdfast.probes.suite import Suite
from holdfast.probes.watch_record import Use, WatchEntry, WatchRecord, documents, of_document, of_item, shared_group


def record_of(validation: Sequence[Suite], tokenizer: Any, models: Sequence[str]) -> WatchRecord:
    """Returns the record of all validation items and texts, with those of the models that were healed.

    Raises:
        HoldfastError: The record beside a model cannot be read.
    """
    return WatchRecord(tuple(_entries(validation, tokenizer))) | records_beside(models)


def records_beside(models: Iterable[str]) -> WatchRecord:
    """Returns what steered some models by the records beside them.

    Raises:
        HoldfastError: A record cannot be read.
    """
    record = WatchRecord()
    for path in dict.fromkeys(path for name in models for path in records_of(name)):
        record |= WatchRecord.read(path)
    return record


def _entries(validation: Sequence[Suite], tokenizer: Any) -> Iterator[WatchEntry]:
    for suite in validation:
        use: Use = "keep" if suite.role == "retained" else "learn"
        for item in suite.items:
            yield WatchEntry(use, suite.name, item.id, shared_group(item), of_item(item))
        for windows in documents(suite.texts):
            yield WatchEntry(use, suite.name, windows[0].origin, "", of_document(windows, tokenizer))
