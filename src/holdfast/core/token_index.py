"""Finds the tokens of a batch among those of the training examples, so that scores from before training apply to them.

The key of a document is the hash of its token ids, of the mask of supervised ones and of their labels, so the order of
rows, padding, packing and the split into batches do not matter. Equal documents count as one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from holdfast.core.errors import HoldfastError

Key = tuple[str, int]
"""Digest of a document, and the number of its supervised tokens."""


def document_keys(input_ids_BT: Tensor, labels_BT: Tensor, scored_BT: Tensor, segment_BT: Tensor) -> list[Key]:
    """Returns the key of each document of a batch, in the order of the flattened tokens.

    Args:
        input_ids_BT: Token ids.
        labels_BT: Unshifted labels.
        scored_BT: Bool; whether a position predicts a supervised token.
        segment_BT: Number of the document at each position, -1 at padding.
    """
    keys = []
    ids, labels, scored, segment = (t.cpu() for t in (input_ids_BT, labels_BT, scored_BT, segment_BT))
    labels = torch.where(scored, labels.roll(-1, 1), -100)  # at the position that predicts them
    for row in range(ids.shape[0]):
        for document in segment[row].unique().tolist():
            if document < 0:
                continue
            inside = segment[row] == document
            ids_T, mask_T = ids[row][inside], scored[row][inside]
            said = b"|".join(t.numpy().tobytes() for t in (ids_T, mask_T, labels[row][inside]))
            digest = hashlib.blake2b(said, digest_size=16)
            keys.append((digest.hexdigest(), int(mask_T.sum())))
    return keys


class TokenIndex:
    """Numbers the supervised tokens of the training examples, and their documents, in the order of `add`.

    Attributes:
        tokens: Number of tokens so far.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self._places: dict[str, tuple[int, int]] = {}

    @property
    def documents(self) -> int:
        """Number of documents so far."""
        return len(self._places)

    def add(self, keys: Sequence[Key]) -> list[bool]:
        """Numbers the documents that are not in the index yet; returns for each document whether it was new."""
        fresh = []
        for key, tokens in keys:
            fresh.append(key not in self._places)
            if fresh[-1]:
                self._places[key] = (self.tokens, len(self._places))
                self.tokens += tokens
        return fresh

    def find(self, keys: Sequence[Key]) -> tuple[Tensor, Tensor]:
        """Returns the numbers of the tokens of a batch and of their documents, `[N]` each, int64.

        Raises:
            HoldfastError: The index does not contain a document of the batch.
        """
        missing = sum(count > 0 and key not in self._places for key, count in keys)
        if missing:
            raise HoldfastError(
                f"{missing} of the {len(keys)} rows of this batch were not there before training; rows must not change"
                " after attach() (no augmentation) if a method reads the data before training."
            )
        tokens = [torch.zeros(0, dtype=torch.int64)]
        documents = list(tokens)
        for key, count in keys:
            if not count:  # without a mask, padding counts as a document
                continue
            start, number = self._places[key]
            tokens.append(torch.arange(start, start + count))
            documents.append(torch.full((count,), number))
        return torch.cat(tokens), torch.cat(documents)
