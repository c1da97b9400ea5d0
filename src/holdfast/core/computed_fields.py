"""The fields of `Tokens` that follow from its logits and those of the base, each computed at its first read."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor

from holdfast.core.base_means import BaseMeans
from holdfast.core.softmax import entropy, expected_gap, nll_of, parted, parted_base


class Computed:
    """A field of `Tokens` that is computed at its first read, and then kept.

    If the first reader had gradients off (`weigh_tokens`, a count), a later reader with gradients computes it again.
    """

    flows = True
    """Whether gradients flow through the field."""

    def __init__(self, compute: Callable[[Any], Tensor]) -> None:
        self.compute = compute
        self.name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, tok: None, owner: type) -> Computed: ...

    @overload
    def __get__(self, tok: ComputedFields, owner: type) -> Tensor: ...

    def __get__(self, tok: ComputedFields | None, owner: type) -> Computed | Tensor:
        if tok is None:
            return self
        value = tok.computed.get(self.name)
        flows = self.flows and torch.is_grad_enabled() and tok.logits_NV.requires_grad
        if value is None or (flows and not value.requires_grad):
            value = tok.computed[self.name] = self.compute(tok)
        return value


class OfBase(Computed):
    """A field that belongs to the base alone."""

    flows = False


class ComputedFields(abc.ABC):
    """The computed fields of a chunk of tokens.

    They are made of the given ones, which the subclass `holdfast.core.tokens.Tokens` has. The abstract properties below
    are those that may be missing; it raises an error for a field that the trainer did not prepare.
    """

    computed: dict[str, Tensor]
    logits_NV: Tensor
    labels_N: Tensor
    _base_means: BaseMeans | None

    @property
    @abc.abstractmethod
    def base_logits_NV(self) -> Tensor:
        """Logits of the frozen base, no gradient."""

    @property
    @abc.abstractmethod
    def hidden_ND(self) -> Tensor:
        """The head's input; gradients flow."""

    @Computed
    def logp_NV(self) -> Tensor:
        """Log-probabilities of the trained model, nats; gradients flow."""
        return self.logits_NV.log_softmax(-1)

    @OfBase
    def base_logp_NV(self) -> Tensor:
        """Log-probabilities of the frozen base, nats, no gradient."""
        return self.base_logits_NV.log_softmax(-1)

    @Computed
    def parted_2N(self) -> Tensor:
        """Logit of each label, and log-sum-exp of all other logits (`holdfast.core.softmax.parted`); gradients flow."""
        return parted(self.logits_NV, self.labels_N)

    @Computed
    def nll_N(self) -> Tensor:
        """Negative log-likelihood of each label, nats; gradients flow."""
        return nll_of(self.parted_2N)

    @OfBase
    def base_parted_2N(self) -> Tensor:
        """`parted_2N` of the base, no gradient."""
        if self._base_means is not None:
            return self._base_means.parted_2N.to(self.logits_NV.dtype)
        parted_2N, self.computed["base_shares_NV"] = parted_base(self.base_logits_NV, self.labels_N)
        return parted_2N

    @OfBase
    def base_nll_N(self) -> Tensor:
        """Negative log-likelihood of each label under the base, nats, no gradient."""
        return nll_of(self.base_parted_2N)

    @OfBase
    def base_rest_N(self) -> Tensor:
        """The base's probability of all tokens but the label, no gradient; exact also where it is small."""
        label_N, rest_N = self.base_parted_2N
        return torch.where(rest_N.isneginf(), torch.zeros_like(rest_N), (rest_N - label_N).sigmoid())

    @Computed
    def gap_N(self) -> Tensor:
        """Mean of base logit minus logit over the base's tokens other than the label; gradients flow."""
        if self._base_means is not None:
            return self._base_means.expected_gap(self.hidden_ND).to(self.logits_NV.dtype)
        self.base_parted_2N  # noqa: B018  # it makes the shares
        return expected_gap(self.logits_NV, self.base_logits_NV, self.computed["base_shares_NV"])

    @Computed
    def base_rest_kl_N(self) -> Tensor:
        """KL(base || model) over all tokens but the label, both sides renormalised without it, nats; gradients flow.

        It is 0 where the base gives all other tokens the probability 0.
        """
        rest_N, base_rest_N = self.parted_2N[1], self.base_parted_2N[1]
        # Without anything in common there is no limit: infinite, and no gradient.
        apart_N, nothing_N = rest_N.isneginf() & ~base_rest_N.isneginf(), base_rest_N.isneginf()
        kl_N = torch.where(apart_N, torch.inf, self.gap_N + (rest_N - base_rest_N))
        return torch.where(nothing_N, torch.zeros_like(kl_N), kl_N)

    @Computed
    def base_kl_N(self) -> Tensor:
        """KL(base || model), nats; gradients flow."""
        label_N, base_label_N, base_rest_N = self.parted_2N[0], self.base_parted_2N[0], self.base_rest_N
        gap_N, base_p_N = base_label_N - label_N, (-self.base_nll_N).exp()
        # 0 (b - a) is NaN where one of them is infinite.
        at_label_N = torch.where(base_p_N == 0.0, torch.zeros_like(gap_N), gap_N) * base_p_N
        others_N = torch.where(base_rest_N == 0.0, torch.zeros_like(gap_N), self.gap_N) * base_rest_N
        return at_label_N + others_N + self._lse_change_N()

    def _lse_change_N(self) -> Tensor:
        """Returns the log-sum-exp of all logits less the base's, as a sum of differences that may be small."""
        (label_N, rest_N), (base_label_N, base_rest_N) = self.parted_2N, self.base_parted_2N
        change_N: Tensor = (self.nll_N - self.base_nll_N) + (label_N - base_label_N)
        out_N, base_out_N = label_N.isneginf(), base_label_N.isneginf()
        if not bool((out_N | base_out_N).any()):
            return change_N
        lse_N = torch.where(out_N, rest_N, self.nll_N + label_N)
        return torch.where(
            out_N | base_out_N, lse_N - torch.where(base_out_N, base_rest_N, self.base_nll_N + base_label_N), change_N
        )

    @Computed
    def entropy_N(self) -> Tensor:
        """Entropy of the predicted distribution, nats; gradients flow."""
        return entropy(self.logits_NV, self.logp_NV.detach())

    @Computed
    def typicality_N(self) -> Tensor:
        """How typical each label is of the prediction; gradients flow.

        exp(-max(0, -log p(y) - H(p))),   in (0, 1]; 1 if the loss of the label is at most the entropy
        """
        return (self.entropy_N - self.nll_N).clamp(max=0.0).exp()

    @OfBase
    def base_typicality_N(self) -> Tensor:
        """`typicality_N` under the base, no gradient."""
        entropy_N = entropy(self.base_logits_NV, self.base_logp_NV)
        return (entropy_N - self.base_nll_N).clamp(max=0.0).exp()
