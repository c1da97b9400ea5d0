"""Examples in other forms: rows of a trainer's dataset, and tensors that a method can store.

Holdfast knows a row as an `Example`, from the tokenizer to the batch. The dataset of somebody else's trainer holds rows
with columns; this module reads them, and writes old examples beside them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.core.run import SOURCE

Row = Example | Mapping[str, Any]
"""A row of a trainer's dataset: an example, or columns (`input_ids`, and `labels`, `attention_mask`, `seq_lengths`)."""


def row_length(row: object) -> int | None:
    """Returns the number of tokens of a row; None where it is not tokenised."""
    if isinstance(row, Example):
        return len(row.input_ids)
    return len(row["input_ids"]) if isinstance(row, Mapping) and "input_ids" in row else None


def example_of(row: object, number: int) -> Example:
    """Returns a row of a dataset as an example, as it stands; all of it is supervised where it has no labels.

    Args:
        row: An example, or a row with columns.
        number: Its number in the dataset, for messages.

    Raises:
        HoldfastError: It is not tokenised.
    """
    if isinstance(row, Example):
        return row
    if not isinstance(row, Mapping) or "input_ids" not in row:
        columns = ", ".join(row) if isinstance(row, Mapping) else type(row).__name__
        raise HoldfastError(
            f"Row {number} of the train dataset has no 'input_ids' (but {columns}): tokenise it before attach(), or"
            " leave out what looks at the rows."
        )
    ids = [int(token) for token in row["input_ids"]]
    labels = [int(label) for label in row.get("labels", ids)]
    return Example(ids, labels, lengths=tuple(row.get("seq_lengths", ())), origin=f"row {number}")


def row_like(example: Example, like: Row) -> Row:
    """Returns an example as a row of the form of another: an example, or what it has of the other's columns.

    Its columns are lists, tensors or arrays as those of the other are, because collators do not take them mixed. A row
    beside packed ones says its length, too, so that a collator packs it.
    """
    lengths = example.lengths or (len(example.input_ids),)
    if isinstance(like, Example):
        return dataclasses.replace(example, lengths=lengths) if like.lengths else example
    columns = {
        "labels": list(example.labels),
        "attention_mask": [1] * len(example.input_ids),
        "seq_lengths": list(lengths),
    }
    told = {"input_ids": list(example.input_ids), **{name: columns[name] for name in columns if name in like}}
    return {name: _typed_as(values, like.get(name)) for name, values in told.items()}


def _typed_as(values: list[int], like: object) -> Any:
    """Returns numbers as a tensor, an array or a list: what `like` is."""
    if isinstance(like, Tensor):
        return torch.tensor(values).to(like)
    return torch.tensor(values).numpy() if hasattr(like, "__array__") else values


def with_source(row: Row, source: int) -> Row:
    """Returns a row that says whose it is."""
    return dataclasses.replace(row, source=source) if isinstance(row, Example) else {**row, SOURCE: source}


def source_apart(row: Row) -> tuple[Row, int | None]:
    """Returns a row as its collator takes it, and the source number that it has; None where it has none."""
    if isinstance(row, Example):
        return row, row.source
    if not isinstance(row, Mapping) or SOURCE not in row:
        return row, None
    return {name: value for name, value in row.items() if name != SOURCE}, row[SOURCE]


def to_tensors(examples: Sequence[Example]) -> dict[str, Tensor]:
    """Returns the concatenated `input_ids` and `labels` of all examples, and their `lengths`; all int64.

    Raises:
        HoldfastError: An example is packed from several documents, which `batch_of` could not keep apart.
    """
    if any(len(example.lengths) > 1 for example in examples):
        raise HoldfastError("Examples that are packed cannot be kept one by one; turn packing off for this method.")
    return {
        "input_ids": torch.tensor([i for example in examples for i in example.input_ids], dtype=torch.int64),
        "labels": torch.tensor([label for example in examples for label in example.labels], dtype=torch.int64),
        "lengths": torch.tensor([len(example.input_ids) for example in examples], dtype=torch.int64),
    }


def to_examples(kept: Mapping[str, Tensor], rows: Sequence[int] | None = None) -> list[Example]:
    """Returns the examples that `to_tensors` stored, without their origin and source; all, or those at `rows`."""
    sizes = kept["lengths"].tolist()
    ends = list(accumulate(sizes))
    examples = []
    for row in range(len(sizes)) if rows is None else rows:
        place = slice(ends[row] - sizes[row], ends[row])
        examples.append(Example(tuple(kept["input_ids"][place].tolist()), tuple(kept["labels"][place].tolist())))
    return examples


def digest_of(examples: Sequence[Example]) -> str:
    """Returns a digest of the tokens and labels of examples, in their order."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(repr((list(example.input_ids), list(example.labels))).encode())
    return digest.hexdigest()


def drawn(count: int, size: int, seed: int, index: int) -> list[int]:
    """Returns the indices of `size` random rows among `count`, at most all; `seed` and `index` determine them."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + index) % 2**63)
    return torch.randperm(count, generator=generator)[:size].tolist()
