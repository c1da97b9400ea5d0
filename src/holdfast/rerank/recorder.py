"""What a loss of sentence-transformers scores: the pairs, their features, and the scores with their graph.

These losses call `model.preprocess(pairs)` and then `model(features)["scores"]`, and return one number. A recipe needs
the scores themselves. The recorder takes them from the loss's own forward, so that the model runs once for both.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from holdfast.core.errors import HoldfastError
from holdfast.rerank.units import Pair, Rows


@dataclasses.dataclass
class Scored:
    """One forward of a loss.

    Attributes:
        pairs: The pairs that it scores.
        features: The input of the model, without what its forward adds.
        scores: Their scores, `[pairs]`; gradients flow.
    """

    pairs: list[Pair]
    features: dict[str, Any]
    scores: Tensor


class Recorder:
    """Records the forwards of a cross-encoder during a block."""

    def __init__(self, encoder: Any) -> None:
        """Takes the cross-encoder; changes nothing."""
        self.encoder = encoder
        self._records = False
        self._asked: list[list[Pair]] = []
        self._features: list[dict[str, Any]] = []
        self._found: list[Tensor] = []

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Records in a block; `scored` then returns what was recorded."""
        self._asked, self._features, self._found = [], [], []
        before = self.encoder.register_forward_pre_hook(self._before)
        after = self.encoder.register_forward_hook(self._after)
        # An instance attribute: a wrapper for several processes may keep it, so it works outside of the block too.
        self.encoder.preprocess = self.preprocess
        self._records = True
        try:
            yield
        finally:
            self._records = False
            before.remove()
            after.remove()
            del self.encoder.preprocess

    def preprocess(self, inputs: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        """Returns the features of pairs, as the class of the model makes them."""
        if self._records:
            self._asked.append([tuple(pair) for pair in inputs])
        return type(self.encoder).preprocess(self.encoder, inputs, *args, **kwargs)

    def _before(self, _module: object, inputs: tuple[Any, ...]) -> None:
        self._features.append(dict(inputs[0]))

    def _after(self, _module: object, _inputs: object, output: Any) -> None:
        self._found.append(output["scores"])

    def scored(self, loss: str) -> list[Scored]:
        """Returns the forwards of the block.

        Args:
            loss: Name of the loss, for messages.

        Raises:
            HoldfastError: The loss does not score pairs in the way of sentence-transformers' losses.
        """
        fits = len(self._asked) == len(self._features) == len(self._found)
        sizes = [(len(pairs), found.numel()) for pairs, found in zip(self._asked, self._found, strict=False)]
        if not fits or not sizes or any(pairs != scores for pairs, scores in sizes):
            raise HoldfastError(
                f"{loss} does not preprocess and score its pairs one after the other with one score each, so a penalty"
                " to the base's scores cannot see them; use another loss, or leave the penalty out."
            )
        if not all(found.requires_grad for found in self._found):
            raise HoldfastError(
                f"{loss} scores its pairs without a graph and repeats the forward in its backward, which no penalty to"
                " the base's scores can join; use the loss without 'Cached', or leave the penalty out."
            )
        parts = zip(self._asked, self._features, self._found, strict=True)
        return [Scored(pairs, features, found.view(-1)) for pairs, features, found in parts]


def scores_of(rows: Rows, scored: Sequence[Scored], found: Sequence[Tensor | None], loss: str) -> list[Tensor]:
    """Returns the scores of each row's documents.

    Args:
        rows: The rows of the batch.
        scored: The forwards of the loss.
        found: The scores of each forward, `[pairs]`: those of the model, or of the base; None for one that did not run.
        loss: Name of the loss, for messages.

    Raises:
        HoldfastError: The loss did not score a pair of the rows.
    """
    flat = torch.cat([scores for scores in found if scores is not None])
    places: dict[Pair, list[int]] = defaultdict(list)
    pairs = (pair for call, scores in zip(scored, found, strict=True) if scores is not None for pair in call.pairs)
    for at, pair in enumerate(pairs):
        places[pair].append(at)
    taken: dict[Pair, int] = defaultdict(int)

    def place(pair: Pair) -> int:
        if pair not in places:
            raise HoldfastError(
                f"{loss} did not score the pair {pair!r:.200} of its row, so a penalty to the base's scores cannot see"
                " it; use another loss, or leave the penalty out."
            )
        turn = min(taken[pair], len(places[pair]) - 1)  # the same pair may stand in several rows
        taken[pair] += 1
        return places[pair][turn]

    return [flat[[place(pair) for pair in row]] for row in rows.pairs]


def needed(rows: Rows, call: Scored) -> bool:
    """Returns whether a forward scores a pair of the rows (a loss may add negatives from the rest of the batch)."""
    return not set(call.pairs).isdisjoint(pair for row in rows.pairs for pair in row)
