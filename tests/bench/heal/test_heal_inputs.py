"""What a healing reads and refuses before any model: options of a run, questions, old examples, the retraining."""

from __future__ import annotations

import pytest

from holdfast.bench.heal.ranking_suites import RankingSuites, questions_digest
from holdfast.rerank.collection import Collection, Document, Query
from holdfast.rerank.suite import RerankSuite


def ranked(query="cats", text="A cat.", title="", grade=1):
    """Suites of one query with two candidates."""
    documents = {"a": Document("a", text, title), "b": Document("b", "A dog.")}
    whole = Collection("pets", {"q": Query("q", query)}, documents, {"q": {"a": grade}}, {"q": ("a", "b")})
    return RankingSuites((), (RerankSuite(whole),), None)


@pytest.mark.parametrize("change", [{"query": "dogs"}, {"text": "Another."}, {"title": "Cats"}, {"grade": 2}])
def test_questions_to_rerankers_are_known_by_their_contents(change):
    assert questions_digest(ranked(), 48, "fp32") == questions_digest(ranked(), 48, "fp32")
    assert questions_digest(ranked(**change), 48, "fp32") != questions_digest(ranked(), 48, "fp32")
    assert questions_digest(ranked(), 48, "bf16") != questions_digest(ranked(), 48, "fp32")
