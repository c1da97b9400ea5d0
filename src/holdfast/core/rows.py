"""Conversions of examples: to tensors that a method can store, to batches, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import NEW, Example
from holdfast.core.run import SOURCE, Batch

TokenRow = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids and labels."""


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


def to_examples(kept: Mapping[str, Tensor]) -> list[Example]:
    """Returns the examples that `to_tensors` stored, without their origin and source."""
    sizes = kept["lengths"].tolist()
    pairs = zip(kept["input_ids"].split(sizes), kept["labels"].split(sizes), strict=True)
    return [Example(tuple(ids.tolist()), tuple(labels.tolist())) for ids, labels in pairs]


def batch_of(kept: Mapping[str, Tensor], rows: Sequence[int], device: torch.device) -> dict[str, Tensor]:
    """Returns some of the kept examples as a batch: `input_ids`, `attention_mask` and `labels`, `[B, T]`.

    Args:
        kept: What `to_tensors` returned.
        rows: Indices of the examples.
        device: Device of the batch.
    """
    lengths = kept["lengths"].cpu()
    starts = (lengths.cumsum(0) - lengths).tolist()
    width = int(lengths[list(rows)].max())
    ids_BT = torch.zeros(len(rows), width, dtype=torch.int64)
    mask_BT, labels_BT = torch.zeros_like(ids_BT), torch.full_like(ids_BT, -100)
    for at, row in enumerate(rows):
        size = int(lengths[row])
        span = slice(starts[row], starts[row] + size)
        ids_BT[at, :size], mask_BT[at, :size], labels_BT[at, :size] = kept["input_ids"][span], 1, kept["labels"][span]
        labels_BT[at, 0] = -100
    batch = {"input_ids": ids_BT, "attention_mask": mask_BT, "labels": labels_BT}
    return {name: tensor.to(device) for name, tensor in batch.items()}


def drawn(count: int, size: int, seed: int, index: int) -> list[int]:
    """Returns the indices of `size` random rows among `count`, at most all; `seed` and `index` determine them."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + index) % 2**63)
    return torch.randperm(count, generator=generator)[:size].tolist()


def examples_of(batch: Batch) -> list[Example]:
    """Returns the rows of a batch without their padding."""
    mask_BT, source_BT = batch.get("attention_mask"), batch.get(SOURCE)
    examples = []
    for row, (ids_T, labels_T) in enumerate(zip(batch["input_ids"], batch["labels"], strict=True)):
        mask_T = torch.ones_like(ids_T) if mask_BT is None else mask_BT[row]
        source = NEW if source_BT is None else int(source_BT[row, 0])
        examples.append(Example(ids_T[mask_T.bool()].tolist(), labels_T[mask_T.bool()].tolist(), source))
    return examples


def padded_like(rows: Sequence[TokenRow], like: Batch) -> dict[str, Tensor]:
    """Returns rows as a batch, padded on the right, with the device and the sources of the batch `like`."""
    width = max(len(ids) for ids, _ in rows)
    device = like["input_ids"].device

    def padded(values: Iterable[Sequence[int]], fill: int) -> Tensor:
        return torch.tensor([[*row, *[fill] * (width - len(row))] for row in values], device=device)

    padded_rows = {
        "input_ids": padded((ids for ids, _ in rows), 0),
        "labels": padded((labels for _, labels in rows), -100),
        "attention_mask": padded(([1] * len(ids) for ids, _ in rows), 0),
    }
    if SOURCE not in like:
        return padded_rows
    return {**padded_rows, SOURCE: like[SOURCE][:, :1].expand(-1, width).contiguous()}
