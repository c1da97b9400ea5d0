"""Losses of next-token distributions given by logits, each with its gradient in closed form.

What autograd would make of the formulas costs several more tensors of the logits' size, and `0 * -inf` is no number:
a logit of minus infinity (a token that cannot come) adds nothing here, as 0 log 0 does. A row whose incoming gradient
is 0 gets a gradient of 0, whatever its logits are.

All take float32 or float64, work along the last axis and return `[N]` nats; gradients are of first order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def nll(logits_NV: Tensor, labels_N: Tensor, logp_NV: Tensor | None = None) -> Tensor:
    """Returns the negative log-likelihood of each label.

    Args:
        logits_NV: Gradients flow to them.
        labels_N: Target ids, int64.
        logp_NV: Their log-softmax, where it is known already.
    """
    with torch.no_grad():
        logp_NV = logits_NV.log_softmax(-1) if logp_NV is None else logp_NV.detach()
    return _Nll.apply(logits_NV, labels_N, logp_NV)  # type: ignore[no-any-return,no-untyped-call]


def entropy(logits_NV: Tensor, logp_NV: Tensor | None = None) -> Tensor:
    """Returns the entropy of each distribution; arguments as in `nll`."""
    with torch.no_grad():
        logp_NV = logits_NV.log_softmax(-1) if logp_NV is None else logp_NV.detach()
    return _Entropy.apply(logits_NV, logp_NV)  # type: ignore[no-any-return,no-untyped-call]


def forward_kl(
    logits_NV: Tensor, base_logits_NV: Tensor, without_N: Tensor | None = None, least: float = 0.0
) -> Tensor:
    """Returns KL(base || tuned); infinite where the base has a token that the tuned model cannot say.

    Args:
        logits_NV: Gradients flow to them.
        base_logits_NV: No gradient.
        without_N: An id of the vocabulary to leave out of each row; both sides are renormalised without it.
        least: Rows whose base gives the other tokens less than this are 0, as are those that have no other token.
    """
    return _ForwardKL.apply(logits_NV, base_logits_NV.detach(), without_N, least)  # type: ignore[no-any-return,no-untyped-call]


def reverse_kl(logits_NV: Tensor, base_logits_NV: Tensor) -> Tensor:
    """Returns KL(tuned || base); infinite, and without a gradient, where the tuned model says what the base cannot."""
    return _ReverseKL.apply(logits_NV, base_logits_NV.detach())  # type: ignore[no-any-return,no-untyped-call]


class _Nll(Function):
    @staticmethod
    def forward(ctx: Any, logits_NV: Tensor, labels_N: Tensor, logp_NV: Tensor) -> Tensor:
        ctx.save_for_backward(labels_N, logp_NV)
        return -logp_NV.gather(-1, labels_N[:, None])[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_N: Tensor) -> tuple[Tensor | None, ...]:
        labels_N, logp_NV = ctx.saved_tensors
        found_NV = logp_NV.exp().mul_(grad_N[:, None])
        # Not scatter_add_, which has no deterministic form on a GPU.
        found_NV.scatter_(-1, labels_N[:, None], found_NV.gather(-1, labels_N[:, None]) - grad_N[:, None])
        return _still(found_NV, grad_N), None, None


class _Entropy(Function):
    @staticmethod
    def forward(ctx: Any, logits_NV: Tensor, logp_NV: Tensor) -> Tensor:
        entropy_N = -logp_NV.exp().mul_(logp_NV).nansum(-1)
        # A row of nothing but NaN would have an entropy of 0.
        entropy_N = torch.where(logp_NV[:, :1].isnan()[:, 0], torch.nan, entropy_N)
        ctx.save_for_backward(logp_NV, entropy_N)
        return entropy_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_N: Tensor) -> tuple[Tensor | None, ...]:
        logp_NV, entropy_N = ctx.saved_tensors
        found_NV = (logp_NV + entropy_N[:, None]).clamp_(min=torch.finfo(logp_NV.dtype).min)
        found_NV.mul_(logp_NV.exp()).mul_(-grad_N[:, None])
        return _still(found_NV, grad_N), None


class _ForwardKL(Function):
    """KL = sum_c w_c (b_c - a_c) - lse(b) + lse(a), w = softmax(b): no difference of two rounded log-probabilities."""

    @staticmethod
    def forward(ctx: Any, logits_NV: Tensor, base_logits_NV: Tensor, without_N: Tensor | None, least: float) -> Tensor:
        weights_NV, base_most_N, base_sum_N = _softmax(base_logits_NV, without_N)
        weights_NV.div_(base_sum_N[:, None])
        found_NV, most_N, sum_N = _softmax(logits_NV, without_N)
        gap_NV = (base_logits_NV - logits_NV).mul_(weights_NV)
        # 0 (b - a) is NaN where one of them is infinite.
        kl_N = gap_NV.nansum(-1) + _log_ratio(most_N, sum_N, base_most_N, base_sum_N)
        del gap_NV
        if without_N is not None:
            # 1 - p_b(y) from the sum of the others: 1 - p_b(y) itself rounds to 0 in float32.
            base_rest_N, rest_N = base_most_N + base_sum_N.log(), most_N + sum_N.log()
            own_N = base_logits_NV.gather(-1, without_N[:, None])[:, 0]
            open_N = (base_rest_N - torch.logaddexp(base_rest_N, own_N)).exp() >= least
            open_N = open_N & ~base_rest_N.isneginf() | base_rest_N.isnan()
            kl_N = torch.where(rest_N.isneginf() & ~base_rest_N.isneginf(), torch.inf, kl_N)
            kl_N = torch.where(open_N, kl_N, torch.zeros_like(kl_N))
        ctx.open_N = None if without_N is None else open_N & ~rest_N.isneginf()
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(found_NV.div_(sum_N[:, None]).sub_(weights_NV))
        return kl_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_N: Tensor) -> tuple[Tensor | None, ...]:
        (found_NV,) = ctx.saved_tensors
        if ctx.open_N is not None:
            grad_N = torch.where(ctx.open_N, grad_N, torch.zeros_like(grad_N))
        return _still(found_NV * grad_N[:, None], grad_N), None, None, None


class _ReverseKL(Function):
    @staticmethod
    def forward(ctx: Any, logits_NV: Tensor, base_logits_NV: Tensor) -> Tensor:
        base_most_N, base_sum_N = _softmax(base_logits_NV)[1:]
        weights_NV, most_N, sum_N = _softmax(logits_NV)
        weights_NV.div_(sum_N[:, None])
        gap_NV = logits_NV - base_logits_NV
        ratio_N = _log_ratio(base_most_N, base_sum_N, most_N, sum_N)
        kl_N = (weights_NV * gap_NV).nansum(-1) + ratio_N
        if ctx.needs_input_grad[0]:
            # p_c ((a_c - b_c) - lse(a) + lse(b) - KL), and 0 where p_c is 0.
            gap_NV.sub_((kl_N - ratio_N)[:, None]).mul_(weights_NV)
            found_NV = gap_NV.masked_fill_(weights_NV == 0.0, 0.0)
            ctx.save_for_backward(found_NV, kl_N)
        return kl_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_N: Tensor) -> tuple[Tensor | None, ...]:
        found_NV, kl_N = ctx.saved_tensors
        grad_N = torch.where(kl_N.isposinf(), torch.zeros_like(grad_N), grad_N)
        return _still(found_NV * grad_N[:, None], grad_N), None


def _softmax(logits_NV: Tensor, without_N: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Returns exp(logits - most), in one new buffer `[N, V]`; most, the largest logit; and the sum of the buffer."""
    if without_N is None:
        most_N = _finite(logits_NV.amax(-1))
        found_NV = logits_NV - most_N[:, None]
    else:
        found_NV = logits_NV.scatter(-1, without_N[:, None], -torch.inf)
        most_N = _finite(found_NV.amax(-1))
        found_NV.sub_(most_N[:, None])
    found_NV.exp_()
    return found_NV, most_N, found_NV.sum(-1)


def _log_ratio(most_N: Tensor, sum_N: Tensor, other_most_N: Tensor, other_sum_N: Tensor) -> Tensor:
    """Returns the difference of two logarithms of sums of exponentials, which may be nearly the same."""
    return (most_N - other_most_N) + (sum_N / other_sum_N).log()


def _finite(most_N: Tensor) -> Tensor:
    return most_N.masked_fill(most_N.isneginf(), 0.0)


def _still(found_NV: Tensor, grad_N: Tensor) -> Tensor:
    """Returns a gradient that is 0 in the rows whose incoming gradient is 0, even where 0 * inf would be NaN."""
    still_N = grad_N == 0.0
    if bool(still_N.any()):
        found_NV[still_N] = 0.0
    return found_NV
