"""Batches: examples put together as padded or packed tensors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from holdfast.core.mix import Example

if TYPE_CHECKING:
    import torch


def collate(examples: Sequence[Example], pad_id: int) -> dict[str, torch.Tensor]:
    """Returns a batch of examples as tensors, all int64.

    The label of the first token of every document is -100, so that the labels that are not -100 are exactly the
    supervised tokens (`Example.supervised`), whether or not a loss shifts them first.

    If any example is packed, the whole batch becomes one row of all its documents, without padding and without an
    attention mask: `position_ids` begin anew with each document, from which the models of transformers build the
    block-diagonal mask. They do so only where no cache is made: call the model with `use_cache=False`.

    Args:
        examples: At least one example; B of them, the longest of T tokens.
        pad_id: Token id that shorter examples are filled up with.

    Returns:
        `input_ids`, `labels` (-100 where nothing is supervised), `source` (the example's, padding included), each
        `[B, T]`; with `attention_mask` `[B, T]` (1 for tokens, 0 for padding), or with `position_ids`, all of them
        `[1, sum of lengths]`.
    """
    if any(example.lengths for example in examples):
        return _packed(examples)
    return _padded(examples, pad_id)


def _packed(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """Returns one row of all documents."""
    import torch

    ids = [i for example in examples for i in example.input_ids]
    labels = [label for example in examples for label in _labels(example)]
    source = [example.source for example in examples for _ in example.input_ids]
    position = [i for example in examples for length in _lengths(example) for i in range(length)]
    return {
        "input_ids": torch.tensor([ids]),
        "labels": torch.tensor([labels]),
        "source": torch.tensor([source]),
        "position_ids": torch.tensor([position]),
    }


def _padded(examples: Sequence[Example], pad_id: int) -> dict[str, torch.Tensor]:
    """Returns a row for each example, filled up on the right."""
    import torch

    width = max(len(example.input_ids) for example in examples)
    gaps = [width - len(example.input_ids) for example in examples]
    pairs = list(zip(examples, gaps, strict=True))
    return {
        "input_ids": torch.tensor([[*example.input_ids, *[pad_id] * gap] for example, gap in pairs]),
        "attention_mask": torch.tensor([[1] * (width - gap) + [0] * gap for gap in gaps]),
        "labels": torch.tensor([[*_labels(example), *[-100] * gap] for example, gap in pairs]),
        "source": torch.tensor([[example.source] * width for example in examples]),
    }


def _lengths(example: Example) -> tuple[int, ...]:
    return example.lengths or (len(example.input_ids),)


def _labels(example: Example) -> list[int]:
    """Returns the labels with -100 at the first token of each document."""
    labels = list(example.labels)
    for start in accumulate(_lengths(example)[:-1], initial=0):
        labels[start] = -100
    return labels
