"""Tokens: a chunk of supervised tokens, as the token hooks see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from holdfast.core.base_means import BaseMeans
from holdfast.core.computed_fields import ComputedFields
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import NEW

PLACES = frozenset({"token_N", "document_N"})
"""Fields that number a token, or its document, among those of the training examples."""


class _Once:
    """A function that computes its value once; the tokens of a chunk and their parts share it."""

    def __init__(self, make: Callable[[], Tensor]) -> None:
        self._make = make
        self._made: Tensor | None = None

    def __call__(self) -> Tensor:
        if self._made is None:
            self._made = self._make()
        return self._made


class Tokens(ComputedFields):
    """A chunk of N supervised tokens, flattened; the position before a token predicts its label.

    Fields that the caller does not pass are computed at their first read.

    Attributes:
        logits_NV: Float32 (float64 in tests) logits of the trained model; gradients flow.
        labels_N: Target ids, int64.
        source_N: 0 for new tokens, k for tokens of the k-th memory.
        segment_N: Number of the token's document within the micro-batch.
        token_N: Number of the token among all supervised tokens of the training examples, int64.
        document_N: Number of its document among all documents of the training examples, int64.
        targets_NV: Where the rows are queries and the columns their documents, a bool mask of all relevant ones,
            `labels_N` included; None for tokens.
        pairs: Whether the rows are single documents of queries, whose two logits are a score and 0.
    """

    def __init__(
        self,
        logits_NV: Tensor,
        labels_N: Tensor,
        source_N: Tensor,
        segment_N: Tensor,
        *,
        base_logits_NV: Tensor | Callable[[], Tensor] | None = None,
        hidden_ND: Tensor | None = None,
        base_hidden_ND: Tensor | None = None,
        base_means: BaseMeans | None = None,
        token_N: Tensor | None = None,
        document_N: Tensor | None = None,
        targets_NV: Tensor | None = None,
        pairs: bool = False,
    ) -> None:
        """Takes the known fields; `base_logits_NV` may be a function that the first read calls.

        `base_means`, with `hidden_ND`, gives the divergences from the base without its logits.
        """
        self.computed: dict[str, Tensor] = {}
        self._parts: dict[str, Tokens | bool] = {}  # never the tokens themselves, which would outlive their chunk
        self.logits_NV = logits_NV
        self.labels_N = labels_N
        self.source_N = source_N
        self.segment_N = segment_N
        self._base_logits_NV = _Once(base_logits_NV) if callable(base_logits_NV) else base_logits_NV
        self._hidden_ND = hidden_ND
        self._base_hidden_ND = base_hidden_ND
        self._base_means = base_means
        self._token_N = token_N
        self._document_N = document_N
        self.targets_NV = targets_NV
        self.pairs = pairs

    @property
    def base_logits_NV(self) -> Tensor:
        """Logits of the frozen base, no gradient."""
        logits_NV = self._base_logits_NV
        if logits_NV is not None and not isinstance(logits_NV, Tensor):
            logits_NV = self._base_logits_NV = logits_NV()
        return _given(logits_NV, "base_logits_NV")

    @property
    def hidden_ND(self) -> Tensor:
        """The head's input; gradients flow."""
        return _given(self._hidden_ND, "hidden_ND")

    @property
    def base_hidden_ND(self) -> Tensor:
        """The head's input in the frozen base, no gradient."""
        return _given(self._base_hidden_ND, "base_hidden_ND")

    @property
    def token_N(self) -> Tensor:
        """Index of each token into the results of `run.score` from before training."""
        return _given(self._token_N, "token_N")

    @property
    def document_N(self) -> Tensor:
        """Index of each token's document into values by document from before training."""
        return _given(self._document_N, "document_N")

    def kept(self, values: Tensor, index_N: Tensor) -> Tensor:
        """Returns `[N]`: the entries of `values` for this chunk, on its device.

        Args:
            values: One number for each token or document of the training examples, on any device.
            index_N: `token_N` or `document_N`.
        """
        return values[index_N.to(values.device)].to(self.labels_N.device)

    def without_targets(self, logits_NV: Tensor) -> Tensor:
        """Returns logits with minus infinity at all relevant documents of a query; those of tokens stay as they are."""
        return logits_NV if self.targets_NV is None else logits_NV.masked_fill(self.targets_NV, -torch.inf)

    def outputs(self, logits_NV: Tensor) -> Tensor:
        """Returns the logits that the model computed: all of them, or of pairs the score alone, `[N, 1]`."""
        return logits_NV[:, :1] if self.pairs else logits_NV

    def is_on(self, on: Literal["new", "memory", "all"]) -> Tensor:
        """Returns a bool mask `[N]` of the tokens on which a hook with this `on` acts."""
        return is_on(self.source_N, on)

    def only(self, on: Literal["new", "memory", "all"]) -> Tokens | None:
        """Returns the tokens on which a hook with this `on` acts: this object if these are all, None if there are none.

        The part leaves the other tokens out instead of masking them, so no value for them, such as NaN, can reach a
        gradient.
        """
        if on not in self._parts:
            chosen_N = self.is_on(on)
            count = int(chosen_N.sum())
            with torch.set_grad_enabled(self.logits_NV.requires_grad):
                self._parts[on] = self._rows(chosen_N) if 0 < count < len(chosen_N) else count > 0
        part = self._parts[on]
        return part if isinstance(part, Tokens) else self if part else None

    def _rows(self, chosen_N: Tensor) -> Tokens:
        places = chosen_N.nonzero()[:, 0]
        base_logits_NV = self._base_logits_NV

        def rows(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.index_select(0, places)

        part = Tokens(
            self.logits_NV.index_select(0, places),
            self.labels_N[places],
            self.source_N[places],
            self.segment_N[places],
            base_logits_NV=None
            if base_logits_NV is None
            else lambda: (base_logits_NV if isinstance(base_logits_NV, Tensor) else base_logits_NV()).index_select(
                0, places
            ),
            hidden_ND=rows(self._hidden_ND),
            base_hidden_ND=rows(self._base_hidden_ND),
            base_means=None if self._base_means is None else self._base_means[places],
            token_N=rows(self._token_N),
            document_N=rows(self._document_N),
            targets_NV=rows(self.targets_NV),
            pairs=self.pairs,
        )
        part.computed = {name: value[places] for name, value in self.computed.items() if name.endswith("_N")}
        return part


def is_on(source_N: Tensor, on: str) -> Tensor:
    """Returns a bool mask `[N]` of the tokens that "new", "memory" or "all" selects by their source numbers."""
    if on == "all":
        return torch.ones_like(source_N, dtype=torch.bool)
    return (source_N == NEW) if on == "new" else (source_N != NEW)


def _given(value: Tensor | None, name: str) -> Tensor:
    if value is None:
        raise HoldfastError(f"tok.{name} is not there: a method that reads it must name it in `reads`.")
    return value
