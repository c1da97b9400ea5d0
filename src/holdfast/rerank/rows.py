"""Old rows beside a reranker's train dataset: in its form, with their source, in an order that keeps shares.

A row counts as one unit, so a share of old examples is a share of rows. `Mix` and `order` count supervised tokens of
examples; here each row has a stand-in with one supervised token.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import BatchSampler

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.core.run import SOURCE
from holdfast.rerank.collection import CandidateList
from holdfast.rerank.units import LABELS, NOT_TEXT, Form, pair_labels
from holdfast.train.mixing import OrderSampler

Row = dict[str, Any]
"""A row of a reranker's train dataset: columns by name."""


def stand_in(origin: str) -> Example:
    """Returns an example that counts as one unit; `origin` names its row."""
    return Example((0, 0), (-100, 0), origin=origin)


def with_easy(lists: Sequence[CandidateList], count: int, seed: int) -> list[CandidateList]:
    """Returns lists with `count` documents of other queries as easy negatives.

    A reranker that trains on hard negatives alone loses its sense of documents that have nothing to do with a query
    (sentence-transformers, issue 3085). A document that the list has already is not added. The label of the others is
    0, or the lowest of the list if a teacher scored below 0.

    Args:
        lists: The lists.
        count: Documents to add to each; fewer if the other lists have no others.
        seed: Chooses them.
    """
    everything = [text for entry in lists for text in entry.documents]
    made = []
    for number, entry in enumerate(lists):
        draw, own = random.Random(seed * 1_000_003 + number), set(entry.documents)
        tried = [everything[draw.randrange(len(everything))] for _ in range(8 * count)]
        easy = list(dict.fromkeys(text for text in tried if text not in own))[:count]
        made.append(
            dataclasses.replace(
                entry,
                documents=(*entry.documents, *easy),
                labels=(*entry.labels, *[min(0.0, *entry.labels)] * len(easy)),
                document_ids=(),
            )
        )
    return made


def rows_like(lists: Sequence[CandidateList], like: Mapping[str, Any], form: Form, where: str) -> tuple[list[Row], int]:
    """Returns lists as rows with the columns of another row, and how many lists do not fit.

    Args:
        lists: The lists.
        like: A row of the train dataset.
        form: Its form.
        where: The source, for messages.

    Raises:
        HoldfastError: The train dataset has no labels, which (query, document) pairs need.
    """
    texts = [name for name in like if name not in NOT_TEXT]
    label = next((name for name in LABELS if name in like), None)
    if form == "tuples":
        rows = [] if label is not None else [row for entry in lists if (row := _tuple(entry, texts))]
        return rows, len(lists) - len(rows)
    if label is None:
        raise HoldfastError(
            f"{where}: old rows have labels, and the train dataset has no label column beside its {form}; give it one."
        )
    if form == "lists":
        return [
            {texts[0]: entry.query, texts[1]: list(entry.documents), label: list(entry.labels)} for entry in lists
        ], 0
    return [
        {texts[0]: entry.query, texts[1]: text, label: given}
        for entry in lists
        for text, given in zip(entry.documents, pair_labels(entry.labels), strict=True)
    ], 0


def _tuple(entry: CandidateList, texts: Sequence[str]) -> Row | None:
    """Returns a list as a row (query, relevant document, others ...); None if it has too few documents."""
    right = entry.positives
    others = [text for text, grade in zip(entry.documents, entry.labels, strict=True) if grade <= 0]
    if not right or len(others) < len(texts) - 2:
        return None
    return dict(zip(texts, [entry.query, entry.documents[right[0]], *others[: len(texts) - 2]], strict=True))


def joined(dataset: Any, old: Sequence[tuple[Row, int]]) -> Any:
    """Returns a `datasets.Dataset` of the new rows, followed by the old ones, each with the number of its source.

    Args:
        dataset: The trainer's dataset.
        old: The old rows with their source numbers, from 1.
    """
    import datasets

    columns = {name: [row[name] for row, _ in old] for name in dataset.column_names}
    try:
        added = datasets.Dataset.from_dict(columns).cast(dataset.features)
    except ValueError as error:  # of pyarrow
        raise HoldfastError(
            f"Old rows do not have the types of the train dataset ({str(error).splitlines()[0]:.200}); give both the"
            " same, such as labels that are floats."
        ) from error
    whole = datasets.concatenate_datasets([dataset, added])
    return whole.add_column(SOURCE, [0] * len(dataset) + [source for _, source in old])


@dataclasses.dataclass
class CollateRows:
    """Takes the source of each row out, calls the trainer's collator, and adds the sources, `[B]` int64.

    Attributes:
        collate: The trainer's collator.
    """

    collate: Any

    @property
    def valid_label_columns(self) -> list[str]:
        """The names of label columns, which the trainer's samplers read."""
        names: list[str] = self.collate.valid_label_columns
        return names

    def __call__(self, rows: list[Row]) -> dict[str, Any]:
        """Returns the batch; rows without a source (evaluation) get none."""
        sources = [row[SOURCE] for row in rows if SOURCE in row]
        batch: dict[str, Any] = self.collate(
            [{name: value for name, value in row.items() if name != SOURCE} for row in rows]
        )
        return {**batch, SOURCE: torch.tensor(sources)} if sources else batch


class RowBatches(BatchSampler):
    """Batches of rows in the order of a mix."""

    def __init__(self, sampler: OrderSampler, batch_size: int, drop_last: bool) -> None:
        """Takes the order, the rows of a batch, and whether a last incomplete batch is left out."""
        super().__init__(sampler, batch_size, drop_last)

    def set_epoch(self, epoch: int) -> None:
        """Does nothing: the order follows the trainer's own epoch."""
