"""The units of a reranker's batch: a row of the training data with its documents, as methods see it (`Tokens`).

Three forms of rows are known, those of sentence-transformers' losses:

    pairs    (query, document), with a label                a unit is a document: logits are its score and 0
    lists    (query, [documents]), with [labels]            a unit is a query: logits are the scores of its documents
    tuples   (query, relevant document, others ...)         a unit is a query, its first document relevant
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from holdfast.core.errors import HoldfastError
from holdfast.core.run import SOURCE
from holdfast.core.tokens import Tokens
from holdfast.rerank.penalties import as_logits

Pair = tuple[str, str]
"""A query and a document, as text."""
Form = Literal["pairs", "lists", "tuples"]

LABELS = ("label", "labels", "score", "scores")
"""Names of the column of labels."""
NOT_TEXT = (SOURCE, "dataset_name", "prompt", "task", *LABELS)
"""Columns of a batch that are not part of a pair."""
HALF = 0.5
"""A pair whose label is above this is relevant."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows of a batch.

    Attributes:
        form: Their form.
        pairs: The pairs of each row, in the order of its documents.
        relevant: Whether each of them is a right answer.
    """

    form: Form
    pairs: tuple[tuple[Pair, ...], ...]
    relevant: tuple[tuple[bool, ...], ...]

    def __len__(self) -> int:
        """Number of units."""
        return len(self.pairs)


def form_of(columns: Sequence[Sequence[Any]]) -> Form:
    """Returns the form of rows from their columns of texts.

    Raises:
        HoldfastError: It is none of the three.
    """
    if len(columns) == 2:
        second = columns[1][0] if len(columns[1]) else ""
        return "pairs" if isinstance(second, str) else "lists"
    if len(columns) > 2 and all(isinstance(column[0], str) for column in columns if len(column)):
        return "tuples"
    raise HoldfastError(
        f"The rows of the train dataset have {len(columns)} columns of texts: give (query, document), (query,"
        " [documents]) or (query, relevant document, others ...)."
    )


def rows_of(batch: Mapping[str, Any]) -> Rows:
    """Returns the rows of a batch as sentence-transformers' collator makes it.

    Args:
        batch: Columns of texts in order, and optionally a column of labels.

    Raises:
        HoldfastError: The columns are of no known form.
    """
    columns = [values for name, values in batch.items() if name not in NOT_TEXT]
    labels = next((batch[name] for name in LABELS if name in batch), None)
    return {"pairs": _pairs, "lists": _lists, "tuples": _tuples}[form_of(columns)](columns, labels)


def _pairs(columns: Sequence[Sequence[Any]], labels: Any) -> Rows:
    pairs = tuple(((query, text),) for query, text in zip(*columns, strict=True))
    right = [True] * len(pairs) if labels is None else [float(value) > HALF for value in labels]
    return Rows("pairs", pairs, tuple((value,) for value in right))


def _lists(columns: Sequence[Sequence[Any]], labels: Any) -> Rows:
    pairs = tuple(tuple((query, text) for text in texts) for query, texts in zip(*columns, strict=True))
    right = map(_first, map(len, pairs)) if labels is None else map(relevant, labels)
    return Rows("lists", pairs, tuple(right))


def _tuples(columns: Sequence[Sequence[Any]], _labels: Any) -> Rows:
    pairs = tuple(tuple((query, text) for text in texts) for query, *texts in zip(*columns, strict=True))
    return Rows("tuples", pairs, tuple(map(_first, map(len, pairs))))


def relevant(labels: Any) -> tuple[bool, ...]:
    """Returns which documents of a list are right answers.

    Whole numbers are grades, and a document above 0 is relevant. Other labels (scores of a teacher) order the
    documents, and the one with the largest is the target.
    """
    values = [float(value) for value in labels]
    if _are_grades(values):
        return tuple(value > 0 for value in values)
    return tuple(value == max(values) for value in values)


def pair_labels(labels: Sequence[float]) -> list[float]:
    """Returns the label of each document of a list as one of a single pair: 1 or 0 for a grade, else the score itself.

    Args:
        labels: Grades, or scores of a teacher (`relevant`).
    """
    return [float(label > 0) if _are_grades(labels) else float(label) for label in labels]


def _are_grades(labels: Sequence[float]) -> bool:
    return all(label == int(label) and label >= 0 for label in labels)


def units_of(rows: Rows, scores: Sequence[Tensor], base: Sequence[Tensor] | None, source_B: Tensor | None) -> Tokens:
    """Returns the units of a batch.

    Args:
        rows: Its rows.
        scores: For each row, the scores of its documents, `[documents]`; gradients flow.
        base: Those of the base; None if no method reads them.
        source_B: Number of the source of each row; None if all rows are new.
    """
    device, numbers = scores[0].device, torch.arange(len(rows), device=scores[0].device)
    sources = torch.zeros_like(numbers) if source_B is None else source_B.to(device)
    if rows.form == "pairs":
        right_N = torch.tensor([0 if row[0] else 1 for row in rows.relevant], device=device)
        logits, given = (None if side is None else as_logits(_wide(torch.cat(list(side)))) for side in (scores, base))
        assert logits is not None
        return Tokens(logits, right_N, sources, numbers, base_logits_NV=given, pairs=True)
    targets_QD = torch.zeros(len(rows), max(map(len, rows.pairs)) + 1, dtype=torch.bool)
    for number, row in enumerate(rows.relevant):
        targets_QD[number, : len(row)] = torch.tensor(row)
    # The last column stands for no document. It is the label of a query without a relevant one.
    label_Q = torch.where(targets_QD.any(-1), targets_QD.to(torch.int8).argmax(-1), targets_QD.shape[1] - 1)
    filled = [None if side is None else _filled(side, targets_QD.shape[1]) for side in (scores, base)]
    assert filled[0] is not None
    return Tokens(
        filled[0],
        label_Q.to(device),
        sources,
        numbers,
        base_logits_NV=filled[1],
        targets_NV=targets_QD.to(device),
    )


def _filled(scores: Sequence[Tensor], width: int) -> Tensor:
    """Returns scores `[Q, width]`, with minus infinity behind the documents of each list."""
    return torch.stack([torch.nn.functional.pad(_wide(row), (0, width - len(row)), value=-torch.inf) for row in scores])


def _wide(scores: Tensor) -> Tensor:
    return scores if scores.dtype == torch.float64 else scores.float()


def _first(count: int) -> tuple[bool, ...]:
    return tuple(i == 0 for i in range(count))
