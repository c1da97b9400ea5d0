"""BM25's candidates: their order, their groups, and what is found."""

import math
import re
from collections import Counter

import numpy as np
import pytest

from holdfast.rerank.collection import Collection, Document, Query
from holdfast.rerank.first_stage import by_bm25, ranks, with_candidates


def collection(texts, queries, relevant):
    return Collection(
        "x",
        {f"q{i}": Query(f"q{i}", text) for i, text in enumerate(queries)},
        {f"d{i}": Document(f"d{i}", text) for i, text in enumerate(texts)},
        {f"q{i}": {f"d{at}": 1} for i, at in enumerate(relevant)},
    )


def lucene(texts, query, k1=1.5, b=0.75):
    """Returns BM25 as Lucene computes it, by its formula."""
    bags = [Counter(re.findall(r"\w\w+", text.lower())) for text in texts]
    mean = np.mean([bag.total() for bag in bags])
    scores = []
    for bag in bags:
        score = 0.0
        for word in re.findall(r"\w\w+", query.lower()):
            n = sum(word in other for other in bags)
            idf = math.log(1 + (len(bags) - n + 0.5) / (n + 0.5))
            score += idf * bag[word] / (bag[word] + k1 * (1 - b + b * bag.total() / mean))
        scores.append(score)
    return scores


def test_scores_are_those_of_the_formula():
    texts = ["red fox jumps", "fox fox sleeps near red barn", "blue whale", "green grass grows near fox"]
    drawn = collection(texts, ["red fox near"], [0])
    drawn = with_candidates(drawn)
    found = by_bm25(drawn)["q0"]
    expected = lucene(texts, "red fox near")
    # A constant factor of k1 + 1 is left out by some; the order and the ratios are what counts.
    ratio = [found[f"d{i}"] / expected[i] for i in (0, 1, 3)]
    assert np.allclose(ratio, ratio[0], rtol=1e-5)
    assert "d2" not in found  # shares no word


def test_ties_keep_the_order_of_the_corpus_and_depth_cuts_them():
    drawn = collection(["same words"] * 5 + ["other"], ["same words"], [4])
    notes = []
    assert with_candidates(drawn, 3, notes=notes).candidates == {"q0": ("d0", "d1", "d2")}
    assert notes == ["x: 0.0% of the relevant documents are among the first 3 of BM25."]
    added = with_candidates(drawn, 3, add_relevant=True, notes=notes)
    assert added.candidates == {"q0": ("d0", "d1", "d4")}
    assert notes[1].endswith("of BM25; the others are added.")
    assert ranks(added) == {"q0": {"d0": 3.0, "d1": 2.0, "d4": 1.0}}


def test_a_query_without_a_known_word_has_no_candidates():
    drawn = with_candidates(collection(["one text", "two texts"], ["xyzzy", "the of"], [0, 1]))
    assert drawn.candidates == {"q0": (), "q1": ()}


@pytest.mark.parametrize("texts", [["", ""], ["the", "of"]])
def test_documents_without_words_give_no_candidates(texts):
    assert with_candidates(collection(texts, ["anything"], [0])).candidates == {"q0": ()}
