"""Examples as tensors, for a method that keeps some beside its weights, and batches of them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example


def to_tensors(examples: Sequence[Example]) -> dict[str, Tensor]:
    """Returns `input_ids` and `labels` of all examples end to end, int64, and their `lengths`.

    Raises:
        HoldfastError: An example is packed from several documents, which a row of a batch cannot hold.
    """
    if any(len(example.lengths) > 1 for example in examples):
        raise HoldfastError("Examples that are packed cannot be kept one by one; turn packing off for this method.")
    return {
        "input_ids": torch.tensor([i for example in examples for i in example.input_ids], dtype=torch.int64),
        "labels": torch.tensor([label for example in examples for label in example.labels], dtype=torch.int64),
        "lengths": torch.tensor([len(example.input_ids) for example in examples], dtype=torch.int64),
    }


def to_examples(kept: Mapping[str, Tensor]) -> list[Example]:
    """Returns the examples that `to_tensors` kept; where they were read is not."""
    sizes = kept["lengths"].tolist()
    pairs = zip(kept["input_ids"].split(sizes), kept["labels"].split(sizes), strict=True)
    return [Example(tuple(ids.tolist()), tuple(labels.tolist())) for ids, labels in pairs]


def batch_of(kept: Mapping[str, Tensor], rows: Sequence[int], device: torch.device) -> dict[str, Tensor]:
    """Returns some of the kept examples as a batch: `input_ids`, `attention_mask` and `labels`, `[B, T]`.

    Args:
        kept: What `to_tensors` returned.
        rows: Numbers of the examples.
        device: Where the batch is wanted.
    """
    lengths = kept["lengths"].cpu()
    starts = (lengths.cumsum(0) - lengths).tolist()
    width = int(lengths[list(rows)].max())
    ids_BT = torch.zeros(len(rows), width, dtype=torch.int64)
    mask_BT, labels_BT = torch.zeros_like(ids_BT), torch.full_like(ids_BT, -100)
    for at, row in enumerate(rows):
        size = int(lengths[row])
        own = slice(starts[row], starts[row] + size)
        ids_BT[at, :size], mask_BT[at, :size], labels_BT[at, :size] = kept["input_ids"][own], 1, kept["labels"][own]
        labels_BT[at, 0] = -100
    batch = {"input_ids": ids_BT, "attention_mask": mask_BT, "labels": labels_BT}
    return {name: tensor.to(device) for name, tensor in batch.items()}


def drawn(count: int, size: int, seed: int, index: int) -> list[int]:
    """Returns `size` of `count` rows (all if there are fewer), drawn anew for every `index`, the same for the same."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + index) % 2**63)
    return torch.randperm(count, generator=generator)[:size].tolist()
