"""The metrics against trec_eval and against their definitions, with ties and grades."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.rerank.metrics import METRICS, per_query

CUTS = {"nDCG@10": 10, "RR@10": 10, "AP": None, "R@10": 10, "R@100": 100}


def by_definition(grades, scores):
    """Returns every metric from its definition; equal scores are ordered by id, the larger first."""
    order = sorted(scores, key=lambda at: (scores[at], at), reverse=True)
    gains = [max(0, grades.get(at, 0)) for at in order]
    relevant = sum(grade > 0 for grade in grades.values())
    best = sorted((max(0, grade) for grade in grades.values()), reverse=True)

    def dcg(values):
        return sum(gain / math.log2(place + 2) for place, gain in enumerate(values[:10]))

    hits = [place for place, gain in enumerate(gains) if gain > 0]
    return {
        "nDCG@10": dcg(gains) / dcg(best) if relevant else 0.0,
        "RR@10": 1 / (hits[0] + 1) if hits and hits[0] < 10 else 0.0,
        "AP": sum((i + 1) / (place + 1) for i, place in enumerate(hits)) / relevant if relevant else 0.0,
        "R@10": sum(place < 10 for place in hits) / relevant if relevant else 0.0,
        "R@100": sum(place < 100 for place in hits) / relevant if relevant else 0.0,
    }


lists = st.lists(st.tuples(st.integers(-1, 3), st.sampled_from([-1.5, 0.0, 0.25, 0.5, 2.0])), min_size=1, max_size=25)


@settings(max_examples=80, deadline=None)
@given(lists, st.integers(0, 3))
def test_every_metric_is_its_definition_with_ties(entries, unfound):
    grades = {f"d{i:02d}": grade for i, (grade, _) in enumerate(entries)}
    grades |= {f"u{i}": 1 for i in range(unfound)}
    scores = {f"d{i:02d}": score for i, (_, score) in enumerate(entries)}
    if not any(grade > 0 for grade in grades.values()):
        return
    found = per_query({"q": grades}, {"q": scores})
    for name, value in by_definition(grades, scores).items():
        assert found[name]["q"] == pytest.approx(value, abs=1e-6), name


def test_metrics_are_those_of_trec_eval():
    pytrec_eval = pytest.importorskip("pytrec_eval")
    rng = np.random.default_rng(0)
    names = {"nDCG@10": "ndcg_cut_10", "AP": "map", "R@10": "recall_10", "R@100": "recall_100"}
    grades = {f"q{i}": {f"d{j}": int(rng.integers(0, 3)) for j in range(0, 150, 7)} for i in range(20)}
    for of in grades.values():
        of["d0"] = 1
    scores = {f"q{i}": {f"d{j}": float(rng.integers(0, 40)) / 4 for j in range(150)} for i in range(20)}
    expected = pytrec_eval.RelevanceEvaluator(grades, {*names.values()}).evaluate(scores)
    found = per_query(grades, scores)
    for name, theirs in names.items():
        for query in grades:
            assert found[name][query] == pytest.approx(expected[query][theirs], abs=1e-12)


def test_queries_without_a_ranking_get_zero_and_unjudged_ones_are_left_out():
    found = per_query({"a": {"d1": 1}, "b": {"d1": 1}, "c": {"d1": 1}}, {"a": {"d1": 1.0}, "b": {}, "x": {"d1": 1.0}})
    assert found["nDCG@10"] == {"a": 1.0, "b": 0.0, "c": 0.0}
    assert list(found) == list(METRICS)
    assert per_query({"a": {"d1": 1}}, {})["AP"] == {"a": 0.0}


def test_an_unknown_metric_is_named():
    with pytest.raises(HoldfastError, match=r"The metric 'nDCQ@10' is unknown; .*Did you mean 'nDCG@10'\?"):
        per_query({"q": {"d": 1}}, {"q": {"d": 1.0}}, ["nDCQ@10"])


def test_a_query_with_grades_below_zero_alone_has_nothing_relevant():
    values = per_query({"q": {"a": -2}}, {"q": {"a": 3.0, "b": 2.0}})
    assert {name: of["q"] for name, of in values.items()} == dict.fromkeys(METRICS, 0.0)
