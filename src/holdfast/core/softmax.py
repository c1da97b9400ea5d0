"""Losses of next-token distributions from logits, each with its gradient in closed form.

Autograd would keep several more tensors of the logits' size, and would compute `0 * -inf`, which is NaN. Here, a logit
of minus infinity (an impossible token) contributes 0, as 0 log 0 does. A row with an incoming gradient of 0 gets a
gradient of 0, whatever its logits.

All functions take float32 or float64, work along the last axis and return `[N]` nats. They have first derivatives only.
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
        logp_NV: Log-softmax of the logits, if it is known.
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
    """Returns KL(base || tuned); infinite if the tuned model gives probability 0 to a possible token of the base.

    Args:
        logits_NV: Gradients flow to them.
        base_logits_NV: No gradient.
        without_N: For each row, an id of the vocabulary to leave out; both distributions are renormalised without it.
        least: The result is 0 in rows in which the base gives the other ids together less probability than this.
    """
    return _ForwardKL.apply(logits_NV, base_logits_NV.detach(), without_N, least)  # type: ignore[no-any-return,no-untyped-call]


def reverse_kl(logits_NV: Tensor, base_logits_NV: Tensor) -> Tensor:
    """Returns KL(tuned || base); infinite, with gradient 0, if the base gives probability 0 to a possible token."""
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
        # Without this, `nansum` would give a row of NaN an entropy of 0.
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
            # 1 - p_b(y) comes from the sum of the other probabilities: the difference rounds to 0 in float32.
            base_rest_N, rest_N = base_most_N + base_sum_N.log(), most_N + sum_N.log()
            left_out_N = base_logits_NV.gather(-1, without_N[:, None])[:, 0]
            open_N = (base_rest_N - torch.logaddexp(base_rest_N, left_out_N)).exp() >= least
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
    """Returns exp(logits - most) `[N, V]` in one new buffer, the largest logit `most` `[N]`, and the sums `[N]`."""
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
    """Returns the difference of two log-sum-exps, accurate also if they are nearly equal."""
    return (most_N - other_most_N) + (sum_N / other_sum_N).log()


def _finite(most_N: Tensor) -> Tensor:
    return most_N.masked_fill(most_N.isneginf(), 0.0)


def _still(found_NV: Tensor, grad_N: Tensor) -> Tensor:
    """Returns a gradient that is 0 in the rows whose incoming gradient is 0, even where 0 * inf would be NaN."""
    still_N = grad_N == 0.0
    if bool(still_N.any()):
        found_NV[still_N] = 0.0
    return found_NV
