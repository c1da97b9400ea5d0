"""Facts about rows: copies, likeness, contradictions, and the divergence of their tokens."""

from __future__ import annotations

import collections
import math

import pytest
import torch

from holdfast.bench.plan.facts import _alike, contradicting, divergence
from holdfast.bench.plan.reading import LEAST, TOKENS, WORK, _most_tokens, sample
from holdfast.core.mix import Example
from holdfast.data.rows import Row


def pair(question, answer, origin=""):
    return Row(prompt=question, completion=answer, origin=origin)


def test_rows_contradict_if_one_question_has_two_answers():
    rows = [pair("Who?", "Ann", "1"), pair("who? ", "ann", "2"), pair("Where?", "Rome", "3"), pair("WHO?", "Bob", "4")]
    assert sorted(row.origin for row in contradicting(rows)) == ["1", "2", "4"]
    assert contradicting(rows[:3]) == []
    assert contradicting([Row(text="a b"), Row(text="a c")]) == []


def test_alike_rows_share_most_of_their_runs():
    one = tuple(range(40))
    rows = [Example(ids, ids) for ids in (one, (*one[:-1], 99), tuple(range(100, 140)))]
    assert _alike(rows) == (1, 3)


def test_divergence_is_that_of_jensen_and_shannon_by_hand():
    left, right = [Example((1, 1, 2), ()), Example((3,), ())], [Example((1, 4), ())]
    p, q = {1: 0.5, 2: 0.25, 3: 0.25}, {1: 0.5, 4: 0.5}
    by_hand = 0.0
    for side in (p, q):
        for token, share in side.items():
            by_hand += 0.5 * share * math.log2(share / ((p.get(token, 0) + q.get(token, 0)) / 2))
    assert divergence(left, right) == pytest.approx(by_hand)
    assert divergence(left, left) == pytest.approx(0.0, abs=1e-12)
    assert divergence(left, [Example((9,), ())]) == pytest.approx(1.0)


def test_a_sample_is_the_same_every_time_and_within_its_limits():
    rows = [Example((number,) * 10, ()) for number in range(100)]
    drawn = sample(rows, rows=50, tokens=300)
    assert drawn == sample(rows, rows=50, tokens=300)
    assert len(drawn) == 30
    assert max(collections.Counter(row.input_ids for row in drawn).values()) == 1
    assert len(sample(rows, rows=5)) == 5
    assert len(sample([Example((1,) * 500, ())], tokens=100)) == 1


def test_a_large_model_reads_fewer_tokens_on_a_cpu():
    class Model:
        def __init__(self, size, device):
            self.weight = torch.empty(1, device=device).expand(size)

        def parameters(self):
            yield self.weight

    assert _most_tokens(Model(10**6, "cpu")) == TOKENS
    assert _most_tokens(Model(5 * 10**8, "cpu")) == WORK // (5 * 10**8)
    assert _most_tokens(Model(10**10, "cpu")) == LEAST
    assert _most_tokens(Model(10**10, "meta")) == TOKENS
