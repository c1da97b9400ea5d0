"""Tokens: a chunk of supervised tokens, as the token hooks see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, overload

import torch
from torch import Tensor

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import NEW
from holdfast.core.softmax import entropy, nll

PLACES = frozenset({"token_N", "document_N"})
"""Fields that number a token, or its document, among those of the training examples."""


class _Computed:
    """A field computed when it is first read, and kept.

    What was first read without gradients (by `weigh_tokens`, by a count) is computed anew for who reads it with them.
    """

    def __init__(self, compute: Callable[[Any], Tensor]) -> None:
        self.compute = compute
        self.name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, tok: None, owner: type) -> _Computed: ...

    @overload
    def __get__(self, tok: Tokens, owner: type) -> Tensor: ...

    def __get__(self, tok: Tokens | None, owner: type) -> _Computed | Tensor:
        if tok is None:
            return self
        held = tok.computed.get(self.name)
        flows = torch.is_grad_enabled() and tok.logits_NV.requires_grad and not self.name.startswith("base_")
        if held is None or (flows and not held.requires_grad):
            held = tok.computed[self.name] = self.compute(tok)
        return held


class _Once:
    """A function whose value is kept once it is known, for the tokens of a chunk and for parts of them."""

    def __init__(self, make: Callable[[], Tensor]) -> None:
        self._make = make
        self._made: Tensor | None = None

    def __call__(self) -> Tensor:
        if self._made is None:
            self._made = self._make()
        return self._made


class Tokens:
    """A chunk of N supervised tokens, flattened; each token predicts one label from the position before it.

    What is not given is computed when first read, and only then.

    Attributes:
        logits_NV: Float32 (float64 in tests) logits of the model being trained; gradients flow.
        labels_N: Target ids, int64.
        source_N: 0 for new tokens, k for those of the k-th memory.
        segment_N: Number of the document within the micro-batch.
        token_N: Number of each token among all supervised tokens of the training examples, int64.
        document_N: Number of its document among all documents of the training examples, int64.
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
        token_N: Tensor | None = None,
        document_N: Tensor | None = None,
    ) -> None:
        """Takes what is known of the tokens; `base_logits_NV` may be a function that is called when they are read."""
        self.computed: dict[str, Tensor] = {}
        self._parts: dict[str, Tokens | bool] = {}  # never the tokens themselves, which would outlive their chunk
        self.logits_NV = logits_NV
        self.labels_N = labels_N
        self.source_N = source_N
        self.segment_N = segment_N
        self._base_logits_NV = _Once(base_logits_NV) if callable(base_logits_NV) else base_logits_NV
        self._hidden_ND = hidden_ND
        self._base_hidden_ND = base_hidden_ND
        self._token_N = token_N
        self._document_N = document_N

    @property
    def base_logits_NV(self) -> Tensor:
        """Logits of the frozen base, no gradient."""
        given = self._base_logits_NV
        if given is not None and not isinstance(given, Tensor):
            given = self._base_logits_NV = given()
        return _given(given, "base_logits_NV")

    @property
    def hidden_ND(self) -> Tensor:
        """Hidden states that the head reads; gradients flow."""
        return _given(self._hidden_ND, "hidden_ND")

    @property
    def base_hidden_ND(self) -> Tensor:
        """Hidden states of the frozen base, no gradient."""
        return _given(self._base_hidden_ND, "base_hidden_ND")

    @property
    def token_N(self) -> Tensor:
        """Where what was found before training (`run.score`) about each token stands."""
        return _given(self._token_N, "token_N")

    @property
    def document_N(self) -> Tensor:
        """Where what was found before training about each token's document stands."""
        return _given(self._document_N, "document_N")

    def kept(self, values: Tensor, index_N: Tensor) -> Tensor:
        """Returns the entries of `values`, which may lie on another device, that belong to this chunk.

        Args:
            values: One number for each token or document of the training examples.
            index_N: `token_N` or `document_N`.
        """
        return values[index_N.to(values.device)].to(self.labels_N.device)

    @_Computed
    def logp_NV(self) -> Tensor:
        """Log-probabilities of the model being trained, nats."""
        return self.logits_NV.log_softmax(-1)

    @_Computed
    def base_logp_NV(self) -> Tensor:
        """Log-probabilities of the frozen base, nats, no gradient."""
        return self.base_logits_NV.log_softmax(-1)

    @_Computed
    def nll_N(self) -> Tensor:
        """Negative log-likelihood of each label, nats; gradients flow."""
        return nll(self.logits_NV, self.labels_N, self.logp_NV.detach())

    @_Computed
    def base_nll_N(self) -> Tensor:
        """Negative log-likelihood of each label under the base, nats, no gradient."""
        return torch.nn.functional.cross_entropy(self.base_logits_NV, self.labels_N, reduction="none")

    @_Computed
    def entropy_N(self) -> Tensor:
        """Entropy of the predicted distribution, nats; gradients flow."""
        return entropy(self.logits_NV, self.logp_NV.detach())

    @_Computed
    def typicality_N(self) -> Tensor:
        """How typical each label is of what is predicted: exp(-excess), the excess its surprise beyond the entropy.

        exp(-max(0, -log p(y) - H(p))),   in (0, 1], 1 where the label is no more surprising than expected
        """
        return (self.entropy_N - self.nll_N).clamp(max=0.0).exp()

    @_Computed
    def base_typicality_N(self) -> Tensor:
        """The same under the base, no gradient."""
        entropy_N = entropy(self.base_logits_NV, self.base_logp_NV)
        return (entropy_N - self.base_nll_N).clamp(max=0.0).exp()

    def is_on(self, on: Literal["new", "memory", "all"]) -> Tensor:
        """Returns a bool `[N]`: the tokens that a hook with this `on` acts upon."""
        return is_on(self.source_N, on)

    def only(self, on: Literal["new", "memory", "all"]) -> Tokens | None:
        """Returns the tokens that a hook with this `on` acts upon: these themselves if it is all, None if it is none.

        The others are not there at all, so that nothing that is said of them, finite or not, reaches a gradient.
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
        given = self._base_logits_NV

        def rows(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.index_select(0, places)

        part = Tokens(
            self.logits_NV.index_select(0, places),
            self.labels_N[places],
            self.source_N[places],
            self.segment_N[places],
            base_logits_NV=None
            if given is None
            else lambda: (given if isinstance(given, Tensor) else given()).index_select(0, places),
            hidden_ND=rows(self._hidden_ND),
            base_hidden_ND=rows(self._base_hidden_ND),
            token_N=rows(self._token_N),
            document_N=rows(self._document_N),
        )
        part.computed = {name: value[places] for name, value in self.computed.items() if name.endswith("_N")}
        return part


def is_on(source_N: Tensor, on: str) -> Tensor:
    """Returns a bool `[N]`: the tokens that "new", "memory" or "all" means, given their sources."""
    if on == "all":
        return torch.ones_like(source_N, dtype=torch.bool)
    return (source_N == NEW) if on == "new" else (source_N != NEW)


def _given(value: Tensor | None, name: str) -> Tensor:
    if value is None:
        raise HoldfastError(f"tok.{name} is not there: a method that reads it must name it in `reads`.")
    return value
