"""From the means of the base's head, divergences and gradients are those of the base's logits."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import linear

from holdfast.core.base_means import BaseMeans
from holdfast.core.softmax import forward_kl, nll
from holdfast.core.tokens import Tokens
from holdfast.kernels.chunked import Casts, Logits, chunked_loss
from holdfast.kernels.means import base_means

TOKENS, WIDTH, WORDS = 11, 8, 37


def draw(dtype=torch.float64, bias=True, seed=0, apart=0.3):
    """Hidden states of the model and of the base, labels, and a head."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    base = normal(TOKENS, WIDTH)
    tuned = base + apart * normal(TOKENS, WIDTH)
    labels = torch.randint(WORDS, (TOKENS,), generator=generator)
    weight, shift = normal(WORDS, WIDTH), 2.0 * normal(WORDS) if bias else None
    return tuned.to(dtype), base.to(dtype), labels, (weight.to(dtype), None if shift is None else shift.to(dtype))


def plain(tuned, base, labels, head, kind, certain=0.0):
    """The penalty from whole logits, by the functions that know no means."""
    without = labels if kind == "rest" else None
    return forward_kl(linear(tuned, *head), linear(base, *head), without, certain)


def from_means(tuned, base, labels, head, kind, certain=0.0):
    means = base_means(base, labels, head, Casts(), chunk=3)
    tok = Tokens(linear(tuned, *head), labels, labels, labels, hidden_ND=tuned, base_means=means)
    if kind == "all":
        return tok.base_kl_N
    return torch.where(tok.base_rest_N < certain, 0.0, tok.base_rest_kl_N)


@pytest.mark.parametrize("certain", [0.0, 0.8])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["all", "rest"])
def test_divergences_and_gradients_are_those_of_the_logits(kind, bias, certain):
    tuned, base, labels, head = draw(bias=bias)
    found, expected = [], []
    for into, function in ((found, from_means), (expected, plain)):
        own = tuned.clone().requires_grad_()
        values = function(own, base, labels, head, kind, certain)
        (values * torch.linspace(-1, 2, TOKENS, dtype=values.dtype)).sum().backward()
        into += [values, own.grad]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["all", "rest"])
def test_gradients_agree_with_finite_differences(kind):
    tuned, base, labels, head = draw()
    assert torch.autograd.gradcheck(lambda own: from_means(own, base, labels, head, kind), tuned.requires_grad_())


@pytest.mark.parametrize("kind", ["all", "rest"])
def test_a_chunk_of_task_loss_and_penalty_equals_the_plain_formula(kind):
    tuned, base, labels, head = draw()
    results = {}
    for way in ("means", "logits", "plain"):
        own, weight = tuned.clone().requires_grad_(), head[0].clone()
        casts = Casts()
        if way == "plain":
            loss = (nll(linear(own, *head), labels) + 2.5 * plain(own, base, labels, head, kind)).sum()
        else:
            means = base_means(base, labels, head, casts, chunk=3) if way == "means" else None
            logits = Logits(base, head, casts, 3) if way == "logits" else None

            def loss_of(rows, features, chunk, means=means, logits=logits):
                tok = Tokens(
                    chunk, labels[rows], labels[rows], labels[rows], hidden_ND=features,
                    base_logits_NV=None if logits is None else logits[rows],
                    base_means=None if means is None else means[rows],
                )  # fmt: skip
                return (tok.nll_N + 2.5 * (tok.base_kl_N if kind == "all" else tok.base_rest_kl_N)).sum()

            loss = chunked_loss(loss_of, own, weight, head[1], chunk=3, casts=casts)
        loss.backward()
        results[way] = loss.detach(), own.grad
    for way in ("means", "logits"):
        for one, other in zip(results[way], results["plain"], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("apart", [0.0, 1e-3, 0.3])
@pytest.mark.parametrize("kind", ["all", "rest"])
def test_in_float32_16_bits_of_a_mean_cost_little(kind, apart):
    tuned, base, labels, head = draw(torch.float32, apart=apart)
    own, exact = tuned.clone().requires_grad_(), tuned.double().requires_grad_()
    values = from_means(own, base, labels, head, kind)
    wide = None if head[1] is None else head[1].double()
    expected = plain(exact, base.double(), labels, (head[0].double(), wide), kind)
    values.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(values.double(), expected, rtol=1e-4, atol=5e-5)
    means = base_means(base, labels, head, Casts())
    assert means.codes_ND.dtype == torch.int16
    error = (own.grad - exact.grad).abs().amax() / means.mean_ND.abs().amax()
    assert error < 3e-5, "half a step of the largest entry is 1.5e-5"


def test_the_mean_row_is_the_mean_over_the_other_tokens():
    _, base, labels, head = draw()
    means = base_means(base, labels, head, Casts())
    for n, label in enumerate(labels.tolist()):
        logits = linear(base[n], *head)
        shares = torch.cat([logits[:label], logits[label + 1 :]]).softmax(0)
        rows = torch.cat([head[0][:label], head[0][label + 1 :]])
        torch.testing.assert_close(means.mean_ND[n], shares @ rows)
        assert float(means.offset_N[n]) == pytest.approx(float(shares @ rows @ base[n]))


def test_means_stored_and_read_are_the_same():
    _, base, labels, head = draw(torch.float32)
    means = base_means(base, labels, head, Casts())
    again = BaseMeans.of_tensors(means.tensors())
    assert len(again) == TOKENS
    for name in ("codes_ND", "scale_N", "offset_N", "parted_2N"):
        assert torch.equal(getattr(means, name), getattr(again, name))
        assert torch.equal(getattr(means[2:5], name), getattr(again[torch.tensor([2, 3, 4])], name))
