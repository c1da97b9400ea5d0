"""What a look finds lost: counted as the verdict counts it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.bench.measured.verdict import verdict
from holdfast.core.budget import Budget
from holdfast.probes.changes import changes
from holdfast.probes.score import Score
from holdfast.train.looks import lost_by


def answers(suite, values):
    same = {"suite": suite, "role": "retained", "split": "watch", "unit": "points", "higher_is_better": True}
    return [Score(**same, item=f"{i}", group=f"{suite}{i}", value=100.0 * value) for i, value in enumerate(values)]


def texts(*costs):
    same = {"suite": "texts", "role": "retained", "split": "watch", "unit": "nats", "higher_is_better": False}
    return [Score(**same, item=f"{i}", group=f"{i}", value=nats, weight=n) for i, (nats, n) in enumerate(costs)]


def lost(before, after, budget):
    return lost_by(zip(before, after, strict=True), budget)


def test_the_mean_of_suites_counts_each_the_same():
    before = answers("a", [1] * 10) + answers("b", [1] * 2)
    after = answers("a", [1] * 9 + [0]) + answers("b", [1, 0])
    assert lost(before, after, Budget(points=2))[0] == {"points": pytest.approx((10 + 50) / 2)}


def test_with_the_claim_on_every_suite_the_worst_counts_less_its_error():
    before = answers("a", [1] * 100) + answers("b", [1] * 4)
    after = answers("a", [0] * 16 + [1] * 84) + answers("b", [1, 1, 1, 0])
    assert lost(before, after, Budget(points=2, claim="every"))[0]["points"] == pytest.approx(max(16 - 4, 25 - 25))


def test_a_suite_is_beyond_the_budget_only_for_certain():
    steady = [answers(name, [1] * 40) for name in "abcd"]
    before = [*itertools.chain(*steady)]
    for wrong, beyond in ((3, False), (20, True)):
        after = [*answers("a", [0] * wrong + [1] * (40 - wrong)), *itertools.chain(*steady[1:])]
        assert lost(before, after, Budget(points=2))[1] is beyond


def test_texts_count_by_token_and_only_in_units_with_a_limit():
    before, after = texts((10.0, 10), (30.0, 30)), texts((14.0, 10), (30.0, 30))
    both = (before + answers("a", [1, 1]), after + answers("a", [1, 0]))
    assert lost(*both, Budget(nll=1)) == ({"nats": pytest.approx(0.1)}, False)
    assert lost(*both, Budget(nll=1, points=5))[0] == {"nats": pytest.approx(0.1), "points": pytest.approx(50)}


def test_a_suite_of_questions_and_texts_counts_in_both_units():
    def named(scores):
        return [Score(**{**vars(score), "suite": "mixed"}) for score in scores]

    before = named(texts((10.0, 10))) + named(answers("a", [1, 1]))
    after = named(texts((20.0, 10))) + named(answers("a", [1, 0]))
    assert lost(before, after, Budget(nll=1, points=5))[0] == {"nats": pytest.approx(1), "points": pytest.approx(50)}


@given(st.lists(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=30), min_size=2, max_size=4))
def test_the_guard_and_the_verdict_find_the_same_lost(suites):
    before, after = (
        [score for s, pairs in enumerate(suites) for score in answers(f"s{s}", [float(pair[k]) for pair in pairs])]
        for k in (0, 1)
    )
    budget = Budget(points=2)
    (mean,) = verdict(changes(before, after), budget).means
    assert lost(before, after, budget)[0] == {"points": -mean.change}
