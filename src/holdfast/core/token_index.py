"""Which token of the training examples a token of a batch is, so that what was found before training meets it again.

A document is known by its token ids and by which of them are supervised: the order of rows, their padding, packing and
the split into batches do not matter. Documents that are the same are one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from holdfast.core.errors import HoldfastError

Key = tuple[str, int]
"""Digest of a document, and its supervised tokens."""


def document_keys(input_ids_BT: Tensor, scored_BT: Tensor, segment_BT: Tensor) -> list[Key]:
    """Returns the key of each document of a batch, in the order in which tokens are flattened.

    Args:
        input_ids_BT: Token ids.
        scored_BT: Bool; whether a position predicts a supervised token.
        segment_BT: Number of the document at each position, -1 at padding.
    """
    found = []
    ids, scored, segment = (t.cpu() for t in (input_ids_BT, scored_BT, segment_BT))
    for row in range(ids.shape[0]):
        for document in segment[row].unique().tolist():
            if document < 0:
                continue
            inside = segment[row] == document
            own, mask = ids[row][inside], scored[row][inside]
            digest = hashlib.blake2b(own.numpy().tobytes() + b"|" + mask.numpy().tobytes(), digest_size=16)
            found.append((digest.hexdigest(), int(mask.sum())))
    return found


class TokenIndex:
    """Numbers the supervised tokens of the training examples, and their documents, in the order of `add`.

    Attributes:
        tokens: How many tokens there are.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self._places: dict[str, tuple[int, int]] = {}

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return len(self._places)

    def add(self, keys: Sequence[Key]) -> list[bool]:
        """Numbers the documents that are new, and says of each whether it was."""
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
            HoldfastError: A document is not among the training examples that were numbered.
        """
        missing = sum(count > 0 and key not in self._places for key, count in keys)
        if missing:
            raise HoldfastError(
                f"{missing} of the {len(keys)} rows of this batch were not there before training; rows must not change"
                " after attach() (no augmentation) where a method looks at the data beforehand."
            )
        tokens = [torch.zeros(0, dtype=torch.int64)]
        documents = list(tokens)
        for key, count in keys:
            if not count:  # padding that is counted as a document, where there is no mask to say so
                continue
            start, number = self._places[key]
            tokens.append(torch.arange(start, start + count))
            documents.append(torch.full((count,), number))
        return torch.cat(tokens), torch.cat(documents)
