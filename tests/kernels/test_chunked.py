"""The chunked loss is the loss of full logits, with its gradients, in a fraction of the memory."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy, linear

from holdfast.kernels import chunked
from holdfast.kernels.chunked import KEPT, Casts, Logits, chunked_loss, sizes
from holdfast.methods.losses.mask_the_target import non_target_kl

TOKENS, WIDTH, WORDS = 23, 5, 11


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


LABELS = torch.randint(0, WORDS, (TOKENS,), generator=torch.Generator().manual_seed(9))
BASE = draw(TOKENS, WORDS, seed=8)


def term(rows, _features, logits):
    """The task loss and a leash, as a recipe adds them up."""
    nll = cross_entropy(logits, LABELS[rows], reduction="none")
    return (nll + 0.7 * non_target_kl(logits, BASE[rows].to(logits.dtype), LABELS[rows])).sum()


def leaves(dtype=torch.float64, *, bias=True):
    shapes = [(TOKENS, WIDTH), (WORDS, WIDTH)] + ([(WORDS,)] if bias else [])
    return [draw(*shape, seed=i, dtype=dtype).requires_grad_() for i, shape in enumerate(shapes)]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("chunk", [1, 2, 7, 22, 23, 24, 1000, None])
def test_loss_and_gradients_are_those_of_full_logits_for_every_chunk_size(chunk, bias):
    ours, full = leaves(bias=bias), leaves(bias=bias)
    found = chunked_loss(term, *ours, chunk=chunk)
    expected = term(slice(None), None, linear(*full))
    (3.0 * found).backward()
    (3.0 * expected).backward()
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)
    for own, other in zip(ours, full, strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("chunk", [3, None])
def test_without_a_head_the_features_are_the_logits(chunk):
    ours, full = (draw(TOKENS, WORDS).requires_grad_() for _ in range(2))
    found = chunked_loss(term, ours, chunk=chunk)
    expected = term(slice(None), None, full)
    found.backward()
    expected.backward()
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)
    torch.testing.assert_close(ours.grad, full.grad)


def test_gradients_agree_with_finite_differences():
    assert torch.autograd.gradcheck(lambda *own: chunked_loss(term, *own, chunk=4), leaves())


def test_a_term_of_the_hidden_states_gets_its_gradient_too():
    def with_hidden(rows, features, logits):
        return term(rows, features, logits) + (features**2).sum()

    ours, full = leaves(), leaves()
    chunked_loss(with_hidden, *ours, chunk=4).backward()
    (term(slice(None), None, linear(*full)) + (full[0] ** 2).sum()).backward()
    for own, other in zip(ours, full, strict=True):
        torch.testing.assert_close(own.grad, other.grad)


@pytest.mark.parametrize("trained", [(0,), (1,), (2,), (0, 2), (1, 2), ()])
def test_only_what_trains_gets_a_gradient(trained):
    own, full = leaves(), leaves()
    for i, (leaf, other) in enumerate(zip(own, full, strict=True)):
        leaf.requires_grad_(i in trained)
        other.requires_grad_(i in trained)
    found = chunked_loss(term, *own, chunk=4)
    expected = term(slice(None), None, linear(*full))
    assert found.item() == pytest.approx(expected.item())
    assert found.requires_grad is bool(trained)
    if trained:
        found.backward()
        expected.backward()
    for i, (leaf, other) in enumerate(zip(own, full, strict=True)):
        assert (leaf.grad is not None) is (i in trained)
        if i in trained:
            torch.testing.assert_close(leaf.grad, other.grad)


def test_the_terms_see_every_token_once_and_in_order():
    seen = []

    def watch(rows, features, logits):
        assert features.shape[0] == logits.shape[0] == rows.stop - rows.start
        assert torch.is_grad_enabled()
        seen.append((rows.start, rows.stop))
        return term(rows, features, logits)

    chunked_loss(watch, *leaves(), chunk=10)
    assert seen == [(0, 10), (10, 20), (20, 23)]


def test_no_tokens_give_a_zero_with_zero_gradients():
    own = [torch.zeros(0, WIDTH, requires_grad=True), *leaves(torch.float32)[1:]]
    found = chunked_loss(term, *own)
    found.backward()
    assert found.item() == 0.0
    assert all(leaf.grad is not None and not leaf.grad.any() for leaf in own)


def test_half_precision_features_keep_their_dtype_and_the_loss_is_float32():
    ours, full = leaves(torch.bfloat16), [leaf.detach().float().requires_grad_() for leaf in leaves(torch.bfloat16)]
    found = chunked_loss(lambda rows, features, logits: term(rows, features, logits.float()), *ours, chunk=4)
    found.backward()
    expected = term(slice(None), None, linear(*full))
    expected.backward()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.0)
    for own, other in zip(ours, full, strict=True):
        assert own.grad.dtype == torch.bfloat16
        torch.testing.assert_close(own.grad.float(), other.grad, rtol=0.1, atol=0.15)


def test_small_gradients_of_many_chunks_add_up_in_float32():
    features, head = torch.ones(1024, 1, dtype=torch.bfloat16), torch.ones(2, 1, dtype=torch.bfloat16)
    head.requires_grad_()
    chunked_loss(lambda rows, own, logits: logits.float().sum(), features, head, chunk=1).backward()
    # Added up in bfloat16 it would stop at 256, where one more is rounded away.
    assert head.grad.flatten().tolist() == [1024.0, 1024.0]


@pytest.mark.parametrize("tokens", [0, 1, 2, 640, 5000])
@pytest.mark.parametrize("vocabulary", [1, 61, 32_000, 151_936, 262_144, 10**9])
@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_blocks_are_tall_enough_to_pay_for_the_head_and_bounded(tokens, vocabulary, device):
    chunk, block = sizes(tokens, vocabulary, torch.device(device))
    kind = "cpu" if device == "cpu" else "cuda"
    assert chunk == 1 or chunk * vocabulary <= chunked.CHUNK_ELEMENTS[kind]
    assert block % chunk == 0
    assert block == chunk or block * vocabulary <= chunked.BLOCK_ELEMENTS[kind]
    if vocabulary <= 262_144:
        assert block >= min(tokens, 128 if device == "cpu" else 512)
    assert block - chunk < max(tokens, 1), "no block is larger than all there is, but for the last chunk"
    blocks = -(-tokens // block)
    assert blocks * block - tokens < block
    assert blocks < 2 or tokens - (blocks - 1) * block > 0.5 * block - blocks * chunk, "blocks are of about one size"


def small_blocks(monkeypatch, chunk=3, block=7):
    monkeypatch.setitem(chunked.CHUNK_ELEMENTS, "cpu", chunk * WORDS)
    monkeypatch.setitem(chunked.BLOCK_ELEMENTS, "cpu", block * WORDS)


@pytest.mark.parametrize(("chunk", "block"), [(1, 1), (1, 5), (2, 6), (3, 7), (5, 30), (23, 23), (40, 80)])
def test_loss_and_gradients_do_not_depend_on_blocks(monkeypatch, chunk, block):
    small_blocks(monkeypatch, chunk, block)
    ours, full = leaves(), leaves()
    base_hidden, base_head, base_bias = (leaf.detach() + 0.1 for leaf in leaves())
    base = Logits(base_hidden, (base_head, base_bias), Casts())

    def against(rows, _features, logits, of=None):
        nll = cross_entropy(logits, LABELS[rows], reduction="none")
        return (nll + 0.7 * non_target_kl(logits, base[rows] if of is None else of[rows], LABELS[rows])).sum()

    found = chunked_loss(against, *ours)
    expected = against(slice(0, TOKENS), None, linear(*full), linear(base_hidden, base_head, base_bias))
    found.backward()
    expected.backward()
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)
    for own, other in zip(ours, full, strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-11, atol=1e-13)


def test_the_head_is_read_once_a_block_and_not_once_a_chunk(monkeypatch):
    small_blocks(monkeypatch, chunk=2, block=12)
    heights, calls = [], []
    product = chunked.product
    monkeypatch.setattr(chunked, "product", lambda x, *head: heights.append(len(x)) or product(x, *head))
    features, weight, _ = leaves()
    base = Logits(features.detach(), (weight.detach(), None), Casts())
    chunked_loss(lambda rows, _x, logits: calls.append(rows) or (logits - base[rows]).square().sum(), features, weight)
    assert len(calls) == 12
    assert heights == [12, 12, 11, 11]  # of the model and of the base, in turn


@pytest.mark.parametrize("trained", [True, False])
def test_under_autocast_the_head_and_the_base_s_are_cast_once_each_and_nothing_is_kept_for_a_chunk(
    monkeypatch, trained
):
    small_blocks(monkeypatch, chunk=2, block=4)
    features, weight, bias = leaves(torch.float32)
    weight.requires_grad_(trained)
    bias.requires_grad_(trained)
    beside = draw(WIDTH, 3, seed=4, dtype=torch.float32).requires_grad_()
    casts = Casts()
    same = Logits(features.detach(), (weight.detach(), bias.detach()), casts)
    other = Logits(features.detach(), (weight.detach() + 1.0, None), casts)
    made = []
    monkeypatch.setattr(Casts, "_copy", lambda self, tensor, dtype: made.append(tensor.shape) or tensor.to(dtype))
    live = []

    def loss_of(rows, own, logits):
        assert logits.dtype == torch.float32
        live.append(sum(1 for x in gc.get_objects() if type(x) is torch.Tensor and x.dtype == torch.bfloat16))
        hidden = (own @ beside).float().square().sum()  # a product with a leaf that trains, which autocast would keep
        return cross_entropy(logits, LABELS[rows], reduction="sum") + (same[rows] - other[rows]).sum() + hidden

    with torch.autocast("cpu", dtype=torch.bfloat16):
        chunked_loss(loss_of, features, weight, bias, casts=casts).backward()
    assert sorted(made) == sorted([weight.shape, bias.shape, weight.shape])
    assert live[-1] <= live[3], "no bfloat16 tensor stays behind from chunk to chunk"
    for leaf in (features, *([weight, bias] if trained else [])):
        assert leaf.grad.dtype == torch.float32
        assert leaf.grad.any()


def test_under_autocast_loss_and_gradients_are_those_of_autocast_over_full_logits(monkeypatch):
    small_blocks(monkeypatch)
    ours, full = leaves(torch.float32), leaves(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = chunked_loss(term, *ours)
        logits = linear(*full)
        assert logits.dtype == torch.bfloat16
        expected = term(slice(None), None, logits.float())
    found.backward()
    expected.backward()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0.0)
    for own, other in zip(ours, full, strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=0.02, atol=0.02)


def test_float64_is_left_alone_under_autocast():
    ours, full = leaves(), leaves()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = chunked_loss(term, *ours, chunk=4)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, term(slice(None), None, linear(*full)), rtol=1e-13, atol=0)


@pytest.mark.parametrize("tokens", [0, 1])
@pytest.mark.parametrize("head", [True, False])
def test_one_token_and_none(tokens, head):
    own = leaves() if head else [draw(TOKENS, WORDS).requires_grad_()]
    full = [leaf.detach().clone().requires_grad_() for leaf in own]
    found = chunked_loss(term, own[0][:tokens], *own[1:])
    logits = linear(full[0][:tokens], *full[1:]) if head else full[0][:tokens]
    expected = term(slice(0, tokens), None, logits)
    found.backward()
    expected.backward()
    torch.testing.assert_close(found, expected)
    for leaf, other in zip(own, full, strict=True):
        torch.testing.assert_close(leaf.grad, other.grad)


def test_without_gradients_none_is_computed():
    own = leaves()
    with torch.no_grad():
        found = chunked_loss(term, *own, chunk=4)
    assert not found.requires_grad
    torch.testing.assert_close(found, term(slice(None), None, linear(*own)).detach())


PEAK = """
import json, resource, sys, torch
from torch.nn.functional import cross_entropy, linear
from holdfast.kernels.chunked import chunked_loss
from holdfast.methods.losses.mask_the_target import non_target_kl

torch.set_num_threads(1)
way, tokens, words, width = sys.argv[1], 2048, 32768, 64
hidden, base_hidden = torch.randn(tokens, width, requires_grad=True), torch.randn(tokens, width)
head, labels = torch.randn(words, width, requires_grad=True) / 8, torch.randint(0, words, (tokens,))
head = head.detach().requires_grad_()
base_head = torch.randn(words, width) / 8

def term(rows, _features, logits):
    with torch.no_grad():
        base = linear(base_hidden[rows], base_head)
    return (cross_entropy(logits, labels[rows], reduction="none") + non_target_kl(logits, base, labels[rows])).sum()

def loss(n):
    rows = slice(0, n)
    if way == "chunked":
        return chunked_loss(term, hidden[rows], head)
    return term(rows, hidden[rows], linear(hidden[rows], head))

loss(8).backward()  # so that what is loaded once is loaded
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
value = loss(tokens)
value.backward()
print(json.dumps({"MiB": peak() - before, "loss": value.item() / tokens}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read in Linux's unit")
def test_the_peak_memory_is_less_than_a_third_of_that_of_full_logits():
    root = Path(__file__).parents[2]
    found = {}
    for way in ("full", "chunked"):
        done = subprocess.run(
            [sys.executable, "-c", "import torch; torch.manual_seed(0)\n" + PEAK, way],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root / "src")},
        )
        found[way] = json.loads(done.stdout)
    assert found["chunked"]["loss"] == pytest.approx(found["full"]["loss"], rel=1e-5)
    assert found["full"]["MiB"] > 2048 * 32768 * 4 / 2**20, "the full logits alone take 256 MiB"
    assert found["chunked"]["MiB"] < found["full"]["MiB"] / 3, found


def test_the_copy_of_a_frozen_head_serves_later_calls_and_follows_its_changes(monkeypatch):
    small_blocks(monkeypatch)
    features, weight, _ = leaves(torch.float32)
    made: list[torch.Size] = []
    monkeypatch.setattr(Casts, "_copy", lambda self, tensor, dtype: made.append(tensor.shape) or tensor.to(dtype))
    head, kept = torch.nn.Parameter(weight.detach().clone(), requires_grad=False), {}

    def loss(casts):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return chunked_loss(term, features, head, casts=casts)

    first = loss(Casts(kept))
    assert torch.equal(loss(Casts(kept)), first)
    assert len(made) == 1
    with torch.no_grad():
        head.mul_(2.0)
    assert torch.equal(loss(Casts(kept)), loss(Casts()))
    assert not torch.equal(loss(Casts(kept)), first)
    assert len(made) == 3  # one for the change, one of its own
    ((reference, *_),) = kept.values()
    address, head.data = head.data_ptr(), torch.zeros_like(weight)
    assert reference.data_ptr() == address, "no other weight can take its place in memory and be mistaken for it"
    assert torch.equal(loss(Casts(kept)), loss(Casts()))
    head.requires_grad_(True)
    kept.clear()
    loss(Casts(kept))
    assert not kept, "a head that trains changes at every step"
    others = [torch.nn.Parameter(torch.zeros_like(weight), requires_grad=False) for _ in range(KEPT + 2)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for other in others:
            Casts(kept)(other)
    assert len(kept) == KEPT
