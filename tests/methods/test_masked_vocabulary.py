"""Tokens that cannot come (padded or suppressed: logits of minus infinity), under every token method."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.method import chain
from holdfast.core.tokens import Tokens
from holdfast.methods.gradients.conflict_decay import contradiction
from holdfast.methods.losses.base_kl import BaseKL, base_kl
from holdfast.methods.losses.mask_the_target import MaskTheTarget, mask_the_target
from holdfast.methods.rehearsal.on_policy_sdft import OnPolicySDFT
from holdfast.methods.table import METHODS
from holdfast.methods.tokens.asft import ASFT
from holdfast.methods.tokens.dft import DFT
from holdfast.methods.tokens.eaft import EAFT
from holdfast.methods.tokens.flow import FLOW
from holdfast.methods.tokens.low_perplexity import LowPerplexity
from holdfast.methods.tokens.talr import TALR
from holdfast.methods.tokens.token_forgetting import TokenForgetting

WORDS, TOKENS = 12, 6
OUT = -math.inf

TOKEN_METHODS = [
    BaseKL(),
    BaseKL(direction="reverse"),
    BaseKL(on="memory", task_loss="dropped"),
    MaskTheTarget(),
    MaskTheTarget(certain=0.0, on="new"),
    OnPolicySDFT(),
    OnPolicySDFT(direction="forward"),
    ASFT(),
    ASFT(direction="reverse", on="all"),
    EAFT(top=4),
    EAFT(top=4, power=0.5, scale="3"),
    FLOW(),
    LowPerplexity(),
    TALR(),
    TokenForgetting(),
]
TOKEN_METHODS += [
    cls.example()
    for cls in METHODS
    if cls.facts() & {"weigh_tokens", "token_loss"}
    and not cls.facts() & {"init_state", *(type(method).__name__ for method in TOKEN_METHODS)}
]
"""And every other that acts on tokens and remembers nothing."""


def tokens(seed, out_tuned=(), out_base=(), keep=None):
    """A chunk of tokens, and of the same without some tokens of the vocabulary."""
    generator = torch.Generator().manual_seed(seed)
    tuned, base = (3.0 * torch.randn(TOKENS, WORDS, dtype=torch.float64, generator=generator) for _ in range(2))
    tuned[:, sorted(out_tuned)] = OUT
    base[:, sorted(out_base)] = OUT
    words = [c for c in range(WORDS) if c not in set(out_tuned) | set(out_base)] if keep is None else keep
    labels = torch.tensor(words)[torch.arange(TOKENS) % len(words)]
    if keep is not None:
        tuned, base = tuned[:, keep], base[:, keep]
        labels = torch.tensor([keep.index(int(y)) for y in labels])
    sources = torch.tensor([0, 1] * (TOKENS // 2))
    places = {"token_N": torch.arange(TOKENS), "document_N": torch.arange(TOKENS)}
    return Tokens(tuned.requires_grad_(), labels, sources, torch.arange(TOKENS), base_logits_NV=base, **places)


def state_of(recipe):
    weight = torch.tensor([1.0, 0.0, -0.7, 2.0, 0.3, 1.0], dtype=torch.float64)
    own = {"weight": weight, "temperature": torch.tensor(1.3), "coefficient": torch.tensor(0.2)}
    return {f"{i}.{type(method).__name__}": own for i, method in enumerate(recipe.methods)}


@pytest.mark.parametrize("method", TOKEN_METHODS, ids=repr)
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), out=st.sets(st.integers(0, WORDS - 1), min_size=1, max_size=6))
def test_loss_and_gradient_are_those_of_the_vocabulary_without_them(method, seed, out):
    recipe = chain(method)
    inside = [c for c in range(WORDS) if c not in out]
    whole, few = tokens(seed, out, out), tokens(seed, keep=inside)
    losses = [recipe.per_token_loss(state_of(recipe), tok) for tok in (whole, few)]
    if isinstance(method, TokenForgetting):  # a blind guess is one among all tokens of the vocabulary
        assert bool(losses[0].isfinite().all())
    else:
        torch.testing.assert_close(*losses, rtol=1e-9, atol=1e-12)
    for loss in losses:
        loss.sum().backward()
    assert not whole.logits_NV.grad[:, sorted(out)].any()
    assert bool(whole.logits_NV.grad.isfinite().all())
    if not isinstance(method, TokenForgetting):
        torch.testing.assert_close(whole.logits_NV.grad[:, inside], few.logits_NV.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", TOKEN_METHODS, ids=repr)
@pytest.mark.parametrize("side", ["tuned", "base"])
def test_a_token_that_one_side_alone_can_say_leaves_gradients_finite_and_no_loss_a_nan(method, side):
    recipe = chain(method)
    tok = tokens(3, *(([5], []) if side == "tuned" else ([], [5])))
    loss = recipe.per_token_loss(state_of(recipe), tok)
    assert not bool(loss.isnan().any())
    loss.sum().backward()
    assert bool(tok.logits_NV.grad.isfinite().all())


@pytest.mark.parametrize("method", [DFT(), ASFT(on="all"), FLOW(), LowPerplexity(), EAFT(top=4)], ids=repr)
def test_a_label_that_cannot_come_counts_for_nothing_where_its_weight_is_0(method):
    recipe = chain(method)
    tok = tokens(4)
    with torch.no_grad():
        tok.logits_NV[:, int(tok.labels_N[1])] = OUT
        tok._base_logits_NV[:, int(tok.labels_N[1])] = OUT
    state = state_of(recipe)
    weights = recipe.weigh_tokens(state, tok)
    loss = recipe.per_token_loss(state, tok)
    assert tok.nll_N[1] == math.inf
    if weights[1] == 0:
        assert bool(loss[1].isfinite())
    assert not bool(loss.isnan().any())
    loss.sum().backward()
    assert bool(tok.logits_NV.grad.isfinite().all())


def test_typicality_and_entropy_keep_their_limits():
    out, inside = [0, 7], [c for c in range(WORDS) if c not in (0, 7)]
    whole, few = tokens(5, out, out), tokens(5, keep=inside)
    for name in ("entropy_N", "typicality_N", "base_typicality_N", "nll_N", "base_nll_N"):
        torch.testing.assert_close(getattr(whole, name), getattr(few, name), rtol=1e-12, atol=1e-14)
    whole.typicality_N.sum().backward()
    few.typicality_N.sum().backward()
    torch.testing.assert_close(whole.logits_NV.grad[:, inside], few.logits_NV.grad, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("spare", [True, False])
def test_a_contradiction_keeps_its_limit(spare):
    out, inside = [0, 7], [c for c in range(WORDS) if c not in (0, 7)]
    whole, few = tokens(6, out, out), tokens(6, keep=inside)
    found = [contradiction(tok.logits_NV, tok.base_logits_NV, tok.labels_N, spare_target=spare) for tok in (whole, few)]
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)
    found[0].sum().backward()
    assert bool(whole.logits_NV.grad.isfinite().all())


@pytest.mark.parametrize("term", [base_kl, mask_the_target])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_positions_without_a_label_reach_neither_the_term_nor_its_gradient(term, bad):
    generator = torch.Generator().manual_seed(0)
    logits, base = (torch.randn(2, 5, WORDS, generator=generator) for _ in range(2))
    labels = torch.full((2, 5), -100)
    labels[0, 1:3] = 4
    logits[0, 2:] = bad
    logits[1] = bad
    base[1] = bad
    found = term(logits.requires_grad_(), base, labels)
    assert bool(found.isfinite().all())
    found.sum().backward()
    assert logits.grad[0, :2].any()
    assert bool(logits.grad.isfinite().all())
