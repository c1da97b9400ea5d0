"""A chunk of tokens: what is computed when, and what is shown to whom."""

from __future__ import annotations

import dataclasses
import gc
import math
import weakref
from typing import ClassVar

import pytest
import torch

from holdfast.core.method import Method, chain
from holdfast.core.settings import setting
from holdfast.core.tokens import Tokens
from holdfast.methods.losses.base_kl import BaseKL

WORDS = 7


def chunk(sources=(0, 1, 0, 2), seed=0, **fields):
    generator = torch.Generator().manual_seed(seed)
    count = len(sources)
    logits = torch.randn(count, WORDS, dtype=torch.float64, generator=generator).requires_grad_()
    base = torch.randn(count, WORDS, dtype=torch.float64, generator=generator)
    labels = torch.arange(count) % WORDS
    fields = {"base_logits_NV": base, "token_N": torch.arange(count) + 10, **fields}
    return Tokens(logits, labels, torch.tensor(sources), torch.arange(count), **fields)


@pytest.mark.parametrize("name", ["logp_NV", "nll_N", "entropy_N", "typicality_N"])
def test_a_field_first_read_without_gradients_has_them_for_who_wants_them(name):
    tok, other = chunk(), chunk()
    with torch.no_grad():
        silent = getattr(tok, name)
    assert not silent.requires_grad
    loud = getattr(tok, name)
    assert loud.requires_grad
    assert torch.equal(loud, silent)
    assert getattr(tok, name) is loud
    weights = torch.randn_like(loud)
    (loud * weights).sum().backward()
    (getattr(other, name) * weights).sum().backward()
    torch.testing.assert_close(tok.logits_NV.grad, other.logits_NV.grad)
    assert tok.logits_NV.grad.any()


def test_the_base_is_asked_when_its_logits_are_read_and_once():
    asked = []
    made = torch.zeros(4, WORDS, dtype=torch.float64)

    def ask():
        asked.append(1)
        return made

    tok = chunk(base_logits_NV=ask)
    assert tok.nll_N.shape == (4,)
    assert not asked
    assert tok.base_logits_NV is made
    assert tok.base_nll_N.tolist() == pytest.approx([math.log(WORDS)] * 4)
    assert asked == [1]


def test_a_part_holds_the_tokens_that_a_hook_acts_upon_in_their_order():
    tok = chunk()
    assert tok.only("all") is tok
    part = tok.only("memory")
    assert part.source_N.tolist() == [1, 2]
    assert part.token_N.tolist() == [11, 13]
    for name in ("logits_NV", "labels_N", "segment_N", "base_logits_NV", "nll_N", "base_nll_N", "entropy_N"):
        torch.testing.assert_close(getattr(part, name), getattr(tok, name)[[1, 3]])
    assert tok.only("memory") is part
    assert chunk((0, 0)).only("memory") is None
    new = chunk((0, 0))
    assert new.only("new") is new


def test_a_part_made_without_gradients_passes_them_on_later():
    tok = chunk()
    with torch.no_grad():
        tok.only("new")
    tok.only("new").entropy_N.sum().backward()
    assert tok.logits_NV.grad[[0, 2]].any()
    assert not tok.logits_NV.grad[[1, 3]].any()


@dataclasses.dataclass(frozen=True, repr=False)
class Harsh(Method):
    """A term that is no number for any token but those of "new" in which the base is finite."""

    on: str = setting("new", unit="tokens", role="tokens")
    reads: ClassVar[frozenset[str]] = frozenset({"base_nll_N"})

    def weigh_tokens(self, state, tok):
        return (tok.base_nll_N - tok.nll_N).exp()

    def token_loss(self, state, tok):
        return (tok.nll_N - tok.base_nll_N) ** 2


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "method",
    [Harsh(), BaseKL(on="new"), BaseKL(on="new", direction="reverse"), BaseKL(on="new", task_loss="dropped")],
    ids=repr,
)
def test_what_a_method_would_say_of_tokens_that_it_does_not_act_on_reaches_neither_loss_nor_gradient(method, bad):
    recipe = chain(method)
    clean, spoilt = chunk(), chunk()
    spoilt._base_logits_NV[[1, 3]] = bad
    losses = [recipe.per_token_loss({}, tok) for tok in (clean, spoilt)]
    assert torch.equal(*losses)
    for tok, loss in zip((clean, spoilt), losses, strict=True):
        loss.sum().backward()
        assert bool(tok.logits_NV.grad.isfinite().all())
    assert torch.equal(clean.logits_NV.grad, spoilt.logits_NV.grad)


@dataclasses.dataclass(frozen=True, repr=False)
class Sifting(Method):
    """Leaves out the second token."""

    def weigh_tokens(self, state, tok):
        return (torch.arange(len(tok.labels_N)) != 1).to(tok.nll_N.dtype)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_task_loss_that_is_no_number_does_not_count_at_the_weight_0(bad):
    recipe = chain(Sifting())
    clean, spoilt = chunk(), chunk()
    with torch.no_grad():
        spoilt.logits_NV[1, int(spoilt.labels_N[1])] = bad
    assert not bool(spoilt.nll_N[1].isfinite()) or bad == math.inf
    losses = [recipe.per_token_loss({}, tok) for tok in (clean, spoilt)]
    assert torch.equal(*losses)
    for loss in losses:
        loss.sum().backward()
    assert torch.equal(clean.logits_NV.grad, spoilt.logits_NV.grad)


def test_a_term_that_is_not_held_is_not_asked_for():
    tok = chunk()
    tok._base_logits_NV[:] = math.nan
    assert torch.equal(chain(BaseKL()).per_token_loss({}, tok, hold=0.0), tok.nll_N)
    assert not bool(chain(BaseKL()).per_token_loss({}, tok, hold=1.0).isfinite().any())


@pytest.mark.parametrize("on", ["new", "memory", "all"])
@pytest.mark.parametrize("sources", [(0, 1, 0, 2), (0, 0), (1, 1)])
@pytest.mark.parametrize("given", ["tensor", "function"])
def test_a_chunk_does_not_outlive_its_readers(on, sources, given):
    base = torch.randn(len(sources), WORDS, dtype=torch.float64)
    asked = []
    tok = chunk(sources, base_logits_NV=base if given == "tensor" else lambda: asked.append(1) or base)
    gc.disable()
    try:
        part = tok.only(on)
        if part is not None:
            assert torch.equal(part.base_logits_NV, base[tok.is_on(on)])
        assert torch.equal(tok.base_logits_NV, base)
        assert len(asked) == (given == "function")
        left = weakref.ref(tok.logits_NV), weakref.ref(tok)
        del tok, part
        assert [one() for one in left] == [None, None]
    finally:
        gc.enable()
