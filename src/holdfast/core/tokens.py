"""Tokens: a chunk of supervised units as the token hooks see it."""

from __future__ import annotations

import functools
from typing import Literal

import torch
from torch import Tensor

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import NEW

PLACES = frozenset({"unit_N", "document_N"})
"""Fields that say which of the training examples' units one is."""


class Tokens:
    """A chunk of N supervised units, flattened; each unit predicts one label from the position before it.

    What is not given is computed when first read, and only then.

    Attributes:
        logits_NV: Float32 (float64 in tests) logits of the model being trained; gradients flow.
        labels_N: Target ids, int64.
        source_N: 0 for new units, k for those of the k-th memory.
        segment_N: Number of the document within the micro-batch.
        unit_N: Number of each unit among all supervised units of the training examples, int64.
        document_N: Number of its document among all documents of the training examples, int64.
    """

    def __init__(
        self,
        logits_NV: Tensor,
        labels_N: Tensor,
        source_N: Tensor,
        segment_N: Tensor,
        *,
        base_logits_NV: Tensor | None = None,
        hidden_ND: Tensor | None = None,
        base_hidden_ND: Tensor | None = None,
        unit_N: Tensor | None = None,
        document_N: Tensor | None = None,
    ) -> None:
        self.logits_NV = logits_NV
        self.labels_N = labels_N
        self.source_N = source_N
        self.segment_N = segment_N
        self._base_logits_NV = base_logits_NV
        self._hidden_ND = hidden_ND
        self._base_hidden_ND = base_hidden_ND
        self._unit_N = unit_N
        self._document_N = document_N

    @property
    def base_logits_NV(self) -> Tensor:
        """Logits of the frozen base, no gradient."""
        return _given(self._base_logits_NV, "base_logits_NV")

    @property
    def hidden_ND(self) -> Tensor:
        """Hidden states that the head reads; gradients flow."""
        return _given(self._hidden_ND, "hidden_ND")

    @property
    def base_hidden_ND(self) -> Tensor:
        """Hidden states of the frozen base, no gradient."""
        return _given(self._base_hidden_ND, "base_hidden_ND")

    @property
    def unit_N(self) -> Tensor:
        """Where what was found before training (`run.score`) about each unit stands."""
        return _given(self._unit_N, "unit_N")

    @property
    def document_N(self) -> Tensor:
        """Where what was found before training about each unit's document stands."""
        return _given(self._document_N, "document_N")

    def kept(self, values: Tensor, index_N: Tensor) -> Tensor:
        """Returns the entries of `values`, which may lie on another device, that belong to this chunk.

        Args:
            values: One number for each unit or document of the training examples.
            index_N: `unit_N` or `document_N`.
        """
        return values[index_N.to(values.device)].to(self.labels_N.device)

    @functools.cached_property
    def logp_NV(self) -> Tensor:
        """Log-probabilities of the model being trained, nats."""
        return self.logits_NV.log_softmax(-1)

    @functools.cached_property
    def base_logp_NV(self) -> Tensor:
        """Log-probabilities of the frozen base, nats, no gradient."""
        return self.base_logits_NV.log_softmax(-1)

    @functools.cached_property
    def nll_N(self) -> Tensor:
        """Negative log-likelihood of each label, nats; gradients flow."""
        return torch.nn.functional.cross_entropy(self.logits_NV, self.labels_N, reduction="none")

    @functools.cached_property
    def base_nll_N(self) -> Tensor:
        """Negative log-likelihood of each label under the base, nats, no gradient."""
        return torch.nn.functional.cross_entropy(self.base_logits_NV, self.labels_N, reduction="none")

    @functools.cached_property
    def entropy_N(self) -> Tensor:
        """Entropy of the predicted distribution, nats; gradients flow."""
        return -(self.logp_NV.exp() * self.logp_NV).sum(-1)

    @functools.cached_property
    def typicality_N(self) -> Tensor:
        """How typical each label is of what is predicted: exp(-excess), the excess its surprise beyond the entropy.

        exp(-max(0, -log p(y) - H(p))),   in (0, 1], 1 where the label is no more surprising than expected
        """
        return (self.entropy_N - self.nll_N).clamp(max=0.0).exp()

    @functools.cached_property
    def base_typicality_N(self) -> Tensor:
        """The same under the base, no gradient."""
        entropy_N = -(self.base_logp_NV.exp() * self.base_logp_NV).sum(-1)
        return (entropy_N - self.base_nll_N).clamp(max=0.0).exp()

    def is_on(self, on: Literal["new", "memory", "all"]) -> Tensor:
        """Returns a bool `[N]`: the units that a hook with this `on` acts upon."""
        return is_on(self.source_N, on)


def is_on(source_N: Tensor, on: str) -> Tensor:
    """Returns a bool `[N]`: the units that "new", "memory" or "all" means, given their sources."""
    if on == "all":
        return torch.ones_like(source_N, dtype=torch.bool)
    return (source_N == NEW) if on == "new" else (source_N != NEW)


def _given(value: Tensor | None, name: str) -> Tensor:
    if value is None:
        raise HoldfastError(f"tok.{name} is not there: a method that reads it must name it in `needs`.")
    return value
