"""Tokens at random."""

import itertools
import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.probes import sampling as sampling_module
from holdfast.probes.sampling import Sampling, drawn, nucleus, numbered, source_of


def sources(count, seed=0):
    return [source_of(seed, k) for k in range(count)]


def in_nucleus(p_V, top_p):
    """The definition, token by token in the order of probabilities."""
    kept, have = torch.zeros(len(p_V), dtype=torch.bool), 0.0
    for token in sorted(range(len(p_V)), key=lambda k: -float(p_V[k])):
        if have >= top_p:
            break
        kept[token] = True
        have += float(p_V[token])
    return kept


def drawn_from_sorted(logits_BV, sampling, numbers):
    """The plain way: float64 probabilities of all tokens, sorted, cumulated in the order of ids, and inverted."""
    wide_BV = logits_BV.double()
    p_BV = ((wide_BV - wide_BV.max(-1, keepdim=True).values) / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        sorted_BV, token_BV = p_BV.sort(dim=-1, descending=True, stable=True)
        before_BV = torch.nn.functional.pad(sorted_BV.cumsum(-1)[:, :-1], (1, 0))
        p_BV = torch.zeros_like(p_BV).scatter(-1, token_BV, sorted_BV * (before_BV < sampling.top_p))
    cumulated_BV = p_BV.cumsum(-1)
    return torch.searchsorted(cumulated_BV, numbers * cumulated_BV[:, -1:], right=True)[:, 0]


def test_a_nucleus_by_hand():
    p_V = torch.tensor([0.1, 0.5, 0.25, 0.15], dtype=torch.float64)
    for top_p, kept in ((0.2, [1]), (0.5, [1]), (0.51, [1, 2]), (0.75, [1, 2]), (0.8, [1, 2, 3]), (0.95, [0, 1, 2, 3])):
        assert nucleus(p_V, 1.0, top_p).nonzero()[:, 0].tolist() == kept
        assert nucleus(p_V / 3, 1 / 3, top_p).nonzero()[:, 0].tolist() == kept
    # Of tokens equally likely, those of lower id.
    assert nucleus(torch.full((4,), 0.25, dtype=torch.float64), 1.0, 0.5).tolist() == [True, True, False, False]
    many_V = torch.full((4096,), 2.0**-12, dtype=torch.float64)
    assert torch.equal(nucleus(many_V, 1.0, 0.5).nonzero()[:, 0], torch.arange(2048))
    # Without a rest to leave out, all that can be said.
    said_V = torch.tensor([0.5, 0.0, 0.5 - 1e-12, 1e-12], dtype=torch.float64)
    assert nucleus(said_V, 1.0, 1 - 1e-15).tolist() == [True, False, True, True]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=7), st.floats(0.01, 0.99))
@settings(deadline=None)
def test_a_nucleus_is_the_smallest_set_of_enough_probability(weights, top_p):
    p_V = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    kept = set(nucleus(p_V, 1.0, top_p).nonzero()[:, 0].tolist())
    subsets = itertools.chain.from_iterable(
        itertools.combinations(range(len(weights)), size) for size in range(1, len(weights) + 1)
    )
    enough = [own for own in subsets if sum(weights[k] for k in own) / sum(weights) >= top_p]
    least = min(map(len, enough))
    assert len(kept) == least
    assert sum(weights[k] for k in kept) == max(sum(weights[k] for k in own) for own in enough if len(own) == least)


@given(
    st.integers(0, 10**6), st.integers(1, 1500), st.sampled_from([0.0, 0.01, 1.0, 4.0, 30.0]), st.booleans(),
    st.floats(1e-6, 1 - 1e-6), st.floats(0.05, 5.0),
)  # fmt: skip
@settings(deadline=None)
def test_tokens_are_those_of_the_plain_way(seed, size, spread, coarse, top_p, temperature):
    draw = torch.Generator().manual_seed(seed)
    logits_BV = torch.randn(4, size, generator=draw) * spread
    if coarse:  # many tokens are equally likely, as in 16 bits
        logits_BV = (logits_BV * 2).round() / 2
    logits_BV[0, torch.randint(size, (size // 3,), generator=draw)] = -math.inf
    logits_BV[0, size // 2] = 0.0
    numbers = torch.cat([torch.rand(1, 1, generator=one, dtype=torch.float64) for one in sources(4, seed)])
    for sampling in (Sampling(temperature, top_p), Sampling(temperature), Sampling(1.0, top_p)):
        expected = drawn_from_sorted(logits_BV, sampling, numbers)
        assert drawn(logits_BV, sampling, sources(4, seed)).tolist() == expected.tolist()
    p_V = (logits_BV[1].double() / temperature).softmax(-1)
    have_V = p_V.sort(descending=True).values.cumsum(0)
    assume(float((have_V - top_p).abs().min()) > 1e-12)  # otherwise rounding decides
    assert torch.equal(nucleus(p_V, float(p_V.sum()), top_p), in_nucleus(p_V, top_p))


@pytest.mark.parametrize("top_p", [1.0, 0.95])
def test_rows_that_do_not_fit_into_the_cache_are_drawn_in_parts(monkeypatch, top_p):
    logits_BV = 3 * torch.randn(7, 2000, generator=torch.Generator().manual_seed(0))
    whole = drawn(logits_BV, Sampling(1.0, top_p), sources(7))
    monkeypatch.setattr(sampling_module, "CACHED", 4000)
    assert torch.equal(drawn(logits_BV, Sampling(1.0, top_p), sources(7)), whole)


@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_the_highest_number_draws_the_last_token_that_can_be_said(monkeypatch, top_p):
    monkeypatch.setattr(torch, "rand", lambda *size, **_: torch.full(size, 1 - 2.0**-53, dtype=torch.float64))
    logits_BV = torch.full((1, 2000), -math.inf)
    logits_BV[0, [3, 700, 1400]] = torch.tensor([1.0, 2.0, 1.5])
    assert drawn(logits_BV, Sampling(1.0, top_p), sources(1)).tolist() == [1400]


@pytest.mark.parametrize("top_p", [1.0, 0.6])
def test_a_token_is_found_by_inverting_the_cumulative_distribution(top_p):
    draw = torch.Generator().manual_seed(0)
    logits_BV = torch.randn(200, 9, generator=draw)
    logits_BV[:, 4] = -math.inf
    sampling = Sampling(0.8, top_p)
    found = drawn(logits_BV, sampling, sources(200)).tolist()
    for row, token in enumerate(found):
        weights = [math.exp(float(x) / 0.8) for x in logits_BV[row]]
        order = sorted(range(9), key=lambda k: -weights[k])
        kept, have = set(), 0.0
        for k in order:
            if have >= top_p * sum(weights):
                break
            kept.add(k)
            have += weights[k]
        number = float(torch.rand(1, 1, generator=source_of(0, row), dtype=torch.float64))
        at, expected = 0.0, None
        for k in range(9):
            at += weights[k] if k in kept else 0.0
            if expected is None and at > number * have:
                expected = k
        assert token == expected
    assert 4 not in found
    assert len(set(found)) == 8


def test_a_row_takes_one_number_from_its_own_source():
    logits_BV = torch.zeros(3, 50)
    together = sources(3)
    found = [drawn(logits_BV, Sampling(1.0), together).tolist() for _ in range(20)]
    for row in range(3):
        own = sources(3)[row]
        numbers = torch.rand(20, generator=own, dtype=torch.float64)
        assert [step[row] for step in found] == [int(50 * number) for number in numbers]


def test_the_lowest_number_draws_no_token_that_cannot_be_said(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *size, **_: torch.zeros(*size, dtype=torch.float64))
    assert drawn(torch.tensor([[-math.inf, -math.inf, 1.0, 2.0]]), Sampling(1.0), sources(1)).tolist() == [2]
    assert drawn(torch.tensor([[1.0, 1.5, 1.0, 9.0]]), Sampling(1.0, 0.5), sources(1)).tolist() == [3]


def test_a_small_temperature_does_not_overflow():
    logits_BV = torch.tensor([[900.0, -900.0, 901.0]])
    assert drawn(logits_BV, Sampling(1e-308), sources(1)).tolist() == [2]
    assert set(drawn(logits_BV.expand(50, 3), Sampling(1.0, 0.9), sources(50)).tolist()) == {0, 2}
    assert set(drawn(logits_BV.expand(50, 3), Sampling(1e308), sources(50)).tolist()) == {0, 1, 2}


def test_a_source_depends_on_seed_and_key_alone():
    def first(seed, key):
        return float(torch.rand(1, generator=source_of(seed, key)))

    state = torch.get_rng_state()
    assert first(0, ("a", 0)) == first(0, ("a", 0))
    assert len({first(seed, key) for seed in (0, 1, -1, 2**70) for key in (("a", 0), ("a", 1), ("b", 0), (3, 4))}) == 16
    assert torch.equal(torch.get_rng_state(), state)
    # Written down once: with other numbers no drawn answer could be had again.
    assert first(0, ("a", 0)) == pytest.approx(0.877112508, abs=1e-7)


def test_keys_are_told_apart_by_their_place_among_the_same():
    assert numbered(["a", "b", "a", "a"]) == [("a", 0), ("b", 0), ("a", 1), ("a", 2)]
    assert numbered([]) == []


def test_what_is_out_of_range_is_named():
    def told(*values):
        with pytest.raises(HoldfastError) as caught:
            Sampling(*values)
        return str(caught.value)

    assert told(-1.0) == "temperature=-1.0: give a number from 0 (0 takes the likeliest token)."
    assert told(math.inf).startswith("temperature=inf: ")
    assert told(math.nan).startswith("temperature=nan: ")
    for top_p in (0.0, -0.1, 1.1, math.nan):
        assert told(1.0, top_p) == f"top_p={top_p}: give a probability above 0 and at most 1 (1 keeps all tokens)."
    assert told(1.0, 1.0, 0.5) == "seed=0.5: give a whole number."
    assert told(1.0, 1.0, True) == "seed=True: give a whole number."
