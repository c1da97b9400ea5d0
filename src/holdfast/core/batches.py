"""Batches: examples put together as tensors, padded or packed, and taken apart again.

Every batch of rows to train on is put together here; a trainer's own collator is the only other place.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from holdfast.core.mix import NEW, Example
from holdfast.core.run import SOURCE, Batch

MOST = 8192
"""Most tokens of a row that several examples share: its mask grows with their square."""


def collate(
    examples: Sequence[Example], pad_id: int, device: torch.device | None = None, *, padding_free: bool = False
) -> dict[str, Tensor]:
    """Returns a batch of examples as tensors, all int64.

    The label of the first token of every document is -100, so that the labels that are not -100 are exactly the
    supervised tokens (`Example.supervised`), whether or not a loss shifts them first.

    If any example is packed, or `padding_free`, the whole batch becomes one row of all its documents, without padding
    and without an attention mask: `position_ids` begin anew with each document, from which most models of transformers
    build the block-diagonal mask. They do so only where no cache is made: call the model with `use_cache=False`.

    Args:
        examples: At least one example; B of them, the longest of T tokens.
        pad_id: Token id that shorter examples are filled up with.
        device: Where the batch is wanted; the CPU if absent.
        padding_free: Whether the examples share one row even if none is packed.

    Returns:
        `input_ids` and `labels` (-100 where nothing is supervised), each `[B, T]`; with `attention_mask` `[B, T]` (1
        for tokens, 0 for padding), or with `position_ids`, all of them `[1, sum of lengths]`.
    """
    shared = padding_free or any(example.lengths for example in examples)
    batch = _packed(examples) if shared else _padded(examples, pad_id)
    return batch if device is None else {name: tensor.to(device) for name, tensor in batch.items()}


def saves_time(lengths: Sequence[int], width: int) -> bool:
    """Returns whether a model reads examples faster in one row of all their tokens than in padded rows.

    A layer of width D multiplies each token with about 12 D^2 weights, and each pair of tokens of a row takes 2 D
    products of its attention, masked pairs too. So a row of T tokens costs T * (6 D + T), in units of 2 D.

    Args:
        lengths: Tokens of each example.
        width: D, the hidden size of the model.
    """

    def cost(tokens: int) -> int:
        return tokens * (6 * width + tokens)

    together = sum(lengths)
    return together <= MOST and cost(together) < len(lengths) * cost(max(lengths))


def per_position(numbers: Sequence[int], lengths: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Returns one number for each row of a batch at each of its positions, `[B, T]` int64, padding included.

    Args:
        numbers: One for each row.
        lengths: Tokens of each row.
        shape: Of the batch: a row for each number, or one in which all stand one behind the other, with 0 behind them.
    """
    number_B = torch.tensor(numbers)
    if shape[0] == len(numbers):
        return number_B[:, None].expand(*shape).contiguous()
    flat_T = torch.zeros(shape[1], dtype=torch.int64)
    flat_T[: sum(lengths)] = number_B.repeat_interleave(torch.tensor(lengths))
    return flat_T[None]


def examples_of(batch: Batch) -> list[Example]:
    """Returns the rows of a padded batch without their padding, new ones unless the batch has their sources."""
    mask_BT, source_BT = batch.get("attention_mask"), batch.get(SOURCE)
    examples = []
    for row, (ids_T, labels_T) in enumerate(zip(batch["input_ids"], batch["labels"], strict=True)):
        inside_T = torch.ones_like(ids_T).bool() if mask_BT is None else mask_BT[row].bool()
        source = NEW if source_BT is None else int(source_BT[row, 0])
        examples.append(Example(ids_T[inside_T].tolist(), labels_T[inside_T].tolist(), source))
    return examples


def _packed(examples: Sequence[Example]) -> dict[str, Tensor]:
    """Returns one row of all documents."""
    ids = [i for example in examples for i in example.input_ids]
    labels = [label for example in examples for label in _labels(example)]
    position = [i for example in examples for length in _lengths(example) for i in range(length)]
    return {
        "input_ids": torch.tensor([ids]),
        "labels": torch.tensor([labels]),
        "position_ids": torch.tensor([position]),
    }


def _padded(examples: Sequence[Example], pad_id: int) -> dict[str, Tensor]:
    """Returns a row for each example, filled up on the right."""
    width = max(len(example.input_ids) for example in examples)
    gaps = [width - len(example.input_ids) for example in examples]
    pairs = list(zip(examples, gaps, strict=True))
    return {
        "input_ids": torch.tensor([[*example.input_ids, *[pad_id] * gap] for example, gap in pairs]),
        "attention_mask": torch.tensor([[1] * (width - gap) + [0] * gap for gap in gaps]),
        "labels": torch.tensor([[*_labels(example), *[-100] * gap] for example, gap in pairs]),
    }


def _lengths(example: Example) -> tuple[int, ...]:
    return example.lengths or (len(example.input_ids),)


def _labels(example: Example) -> list[int]:
    """Returns the labels with -100 at the first token of each document."""
    labels = list(example.labels)
    for start in accumulate(_lengths(example)[:-1], initial=0):
        labels[start] = -100
    return labels
