"""Entrywise work in blocks, and the largest entries of a tensor that is never scored as a whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from holdfast.core import blocks, top_entries
from holdfast.core.blocks import choose, differ, entrywise, lerp
from holdfast.core.top_entries import largest, largest_in_blocks
from holdfast.methods.edits.fapm import fapm
from holdfast.methods.edits.ties import TIES


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", {"cpu": 64, "cuda": 64})
    monkeypatch.setattr(top_entries, "SAMPLED", 128)


def chosen(scores, count):
    """The first `count` places in the order of a stable sort, NaN first and minus infinity never."""
    values = np.where(np.isnan(scores), np.inf, scores)
    order = [place for place in np.argsort(-values, kind="stable")[:count] if values[place] > -np.inf]
    return np.isin(np.arange(len(values)), order)


GENERATOR = np.random.default_rng(0)
SCORES = {
    "normal": GENERATOR.normal(size=1500),
    "sorted": np.sort(GENERATOR.normal(size=1500)),
    "few values": GENERATOR.integers(0, 4, size=1500).astype(float),
    "equal": np.zeros(1500),
    "mostly zero": np.where(GENERATOR.random(1500) < 0.1, GENERATOR.normal(size=1500) ** 2, 0.0),
    "infinite": np.where(GENERATOR.random(1500) < 0.5, -np.inf, GENERATOR.normal(size=1500)),
    "no number": np.where(GENERATOR.random(1500) < 0.01, np.nan, GENERATOR.normal(size=1500)),
    "short": GENERATOR.normal(size=30),
}


@pytest.mark.parametrize("share", [0.0, 0.003, 0.25, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("name", SCORES)
def test_the_largest_in_blocks_are_those_of_a_stable_sort(small_blocks, name, share):
    scores = torch.tensor(SCORES[name])
    count = int(len(scores) * share)
    parts = list(largest_in_blocks(lambda index: scores[index], len(scores), count, scores.device))
    assert [rows.start for rows, _ in parts] == list(range(0, len(scores), 64 * torch.get_num_threads()))
    found = torch.cat([mask for _, mask in parts])
    np.testing.assert_array_equal(found.numpy(), chosen(SCORES[name], count))
    assert torch.equal(found, largest(scores, count))


def test_a_bracket_that_misses_is_replaced(small_blocks, monkeypatch):
    scores = torch.tensor(SCORES["normal"])
    for wrong in ((2.0, 3.0), (-3.0, -2.5), (0.1, 0.1)):
        monkeypatch.setattr(top_entries, "_bracket", lambda *_, at=wrong: at)
        masks = [mask for _, mask in largest_in_blocks(lambda index: scores[index], len(scores), 400, scores.device)]
        assert torch.equal(torch.cat(masks), largest(scores, 400))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_a_choice_by_bits_is_that_of_where(dtype):
    first, second = torch.randn(300).to(dtype), torch.randn(300).to(dtype)
    first[:3] = torch.tensor([math.nan, math.inf, -0.0])
    mask = torch.rand(300) < 0.5
    for other in (second, None):
        wanted = torch.where(mask, first, 0.0 if other is None else other)
        assert torch.equal(choose(mask, first, other).nan_to_num(7.0), wanted.nan_to_num(7.0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_an_edit_in_blocks_is_that_of_the_whole_tensor(small_blocks, dtype):
    base, tuned = torch.randn(70, 11).to(dtype), torch.randn(11, 70).to(dtype).T
    whole = (base.float() + 0.25 * (tuned.float() - base.float())).to(dtype)
    edited = entrywise(lambda start, end: start + 0.25 * (end - start), base, tuned)
    assert torch.equal(edited, whole)
    assert edited.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("share", [-1.7, 0.2, 0.5, 0.83, 2.4])
def test_a_point_between_is_the_float64_one_rounded_once(dtype, share):
    base, tuned = (torch.randn(70, 11, dtype=torch.float64).to(dtype) for _ in range(2))
    exact = base.double() + share * (tuned.double() - base.double())
    found = lerp(base, tuned, share)
    # Ties can round otherwise in float32. Rounded to 16 bits along the way, three of ten or more would differ.
    if dtype in (torch.bfloat16, torch.float16):
        assert torch.equal(found, torch.lerp(base.float(), tuned.float(), share).to(dtype))
        assert float((found != exact.to(dtype)).float().mean()) < 0.03
    torch.testing.assert_close(found.double(), exact, rtol=2 * torch.finfo(dtype).eps, atol=4 * torch.finfo(dtype).eps)
    assert found.dtype == dtype


def test_a_point_between_is_the_same_for_kinds_that_differ(small_blocks):
    base, tuned = torch.randn(70, 11), torch.randn(70, 11).bfloat16()
    assert torch.equal(lerp(base, tuned, 0.3), torch.lerp(base, tuned.float(), 0.3).bfloat16())
    assert torch.equal(lerp(base, tuned, 0.0), base.bfloat16())


def test_prunings_in_blocks_are_those_of_the_whole_tensor(small_blocks, monkeypatch):
    base, tuned = torch.randn(90, 21), torch.randn(90, 21)
    in_blocks = fapm(base, tuned, 0.3), TIES(keep=0.3, scale=0.7).edit_weights({}, "w", base, tuned)
    monkeypatch.setattr(blocks, "BLOCK", {"cpu": 1 << 20, "cuda": 1 << 20})
    at_once = fapm(base, tuned, 0.3), TIES(keep=0.3, scale=0.7).edit_weights({}, "w", base, tuned)
    assert all(map(torch.equal, in_blocks, at_once))
    delta = tuned - base
    wanted = base + 0.7 * torch.where(largest(delta.abs(), int(0.3 * delta.numel())), delta, 0.0)
    assert torch.equal(in_blocks[1], wanted)


def test_a_difference_in_the_last_entry_is_found(small_blocks):
    first = torch.zeros(1000)
    second = first.clone()
    assert not differ(first, second.bfloat16())
    second[-1] = 1.0
    assert differ(first, second)
