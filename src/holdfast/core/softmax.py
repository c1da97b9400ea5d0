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
from torch.nn.functional import softplus


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


def parted(logits_NV: Tensor, labels_N: Tensor) -> Tensor:
    """Returns two numbers of each row, `[2, N]`: the logit of its label, and the log-sum-exp of all other logits.

    The loss of the label, and the divergence from the base with or without the label, need nothing else of the row
    that depends on all logits. Taken from these numbers, they share one softmax and one gradient of the logits' size.

    Args:
        logits_NV: Gradients flow to them.
        labels_N: Target ids, int64.
    """
    return _Parted.apply(logits_NV, labels_N)  # type: ignore[no-any-return,no-untyped-call]


def parted_base(base_logits_NV: Tensor, labels_N: Tensor) -> tuple[Tensor, Tensor]:
    """Returns `parted` of the base, and the base's probabilities of the other tokens among themselves, `[N, V]`.

    The probability of the label is 0 there, and the others add up to 1. No gradient flows.
    """
    with torch.no_grad():
        shares_NV, parted_2N = _parted(base_logits_NV, labels_N)
    return parted_2N, shares_NV


def expected_gap(logits_NV: Tensor, base_logits_NV: Tensor, base_shares_NV: Tensor) -> Tensor:
    """Returns the mean of base logit minus logit over the base's other tokens, `[N]`; gradients flow to the logits."""
    return _ExpectedGap.apply(logits_NV, base_logits_NV, base_shares_NV)  # type: ignore[no-any-return,no-untyped-call]


def nll_of(parted_2N: Tensor) -> Tensor:
    """Returns the negative log-likelihood of each label from `parted`: log(1 + exp(rest - label)), in nats."""
    return _NllOf.apply(parted_2N)  # type: ignore[no-any-return,no-untyped-call]


class _Parted(Function):
    @staticmethod
    def forward(ctx: Any, logits_NV: Tensor, labels_N: Tensor) -> Tensor:
        shares_NV, parted_2N = _parted(logits_NV, labels_N)
        ctx.save_for_backward(shares_NV, labels_N)
        return parted_2N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_2N: Tensor) -> tuple[Tensor | None, ...]:
        shares_NV, labels_N = ctx.saved_tensors
        found_NV = shares_NV * grad_2N[1][:, None]
        found_NV.scatter_(-1, labels_N[:, None], grad_2N[0][:, None])
        return _still(found_NV, grad_2N.abs().sum(0)), None


class _ExpectedGap(Function):
    @staticmethod
    def forward(ctx: Any, logits_NV: Tensor, base_logits_NV: Tensor, base_shares_NV: Tensor) -> Tensor:
        ctx.save_for_backward(base_shares_NV)
        # 0 (b - a) is NaN where one of them is infinite.
        return (base_logits_NV - logits_NV).mul_(base_shares_NV).nansum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_N: Tensor) -> tuple[Tensor | None, ...]:
        (base_shares_NV,) = ctx.saved_tensors
        return _still(base_shares_NV * -grad_N[:, None], grad_N), None, None


class _NllOf(Function):
    @staticmethod
    def forward(ctx: Any, parted_2N: Tensor) -> Tensor:
        label_N, rest_N = parted_2N
        gap_N = (rest_N - label_N).masked_fill(label_N.isposinf(), torch.nan)  # an overflow is no certainty
        ctx.save_for_backward(gap_N)
        return softplus(gap_N, threshold=50.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_N: Tensor) -> Tensor:
        (gap_N,) = ctx.saved_tensors
        rest_N = gap_N.sigmoid().mul_(grad_N)
        rest_N = torch.where(grad_N == 0.0, torch.zeros_like(rest_N), rest_N)
        return torch.stack([-rest_N, rest_N])


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


def _parted(logits_NV: Tensor, labels_N: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the softmax over all tokens but the label (0 there), `[N, V]`, and the numbers of `parted`, `[2, N]`."""
    label_N = logits_NV.gather(-1, labels_N[:, None])[:, 0]
    others_NV = logits_NV.scatter(-1, labels_N[:, None], -torch.inf)
    most_N = others_NV.amax(-1)
    shares_NV = others_NV.softmax(-1)
    # The largest share is 1 / sum exp(a - most): torch's softmax computes the sum in the caches, and does not tell it.
    rest_N = most_N - shares_NV.amax(-1).log()
    nothing_N = most_N.isneginf()
    if bool(nothing_N.any()):
        shares_NV[nothing_N] = 0.0
        rest_N = rest_N.masked_fill(nothing_N, -torch.inf)
    return shares_NV, torch.stack([label_N, rest_N])


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
