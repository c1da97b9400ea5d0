"""Leaks between training and measured queries, hard negatives, and those that may be relevant."""

import dataclasses

import datasets
import numpy as np
import pytest

from holdfast.core.errors import HoldfastError
from holdfast.rerank.collection import CandidateList, collection_of
from holdfast.rerank.leaks import NEAR, leaks, normalised
from holdfast.rerank.negatives import first_stage_negatives, mined_negatives, without_false_negatives
from holdfast.rerank.rows import joined, rows_like, with_easy

TRAIN = ["Where does Anna Berg live?", "what is the price of the green kettle in the shop", "Who is it?"]


def test_leaks_are_exact_after_normalisation_or_near():
    held = [
        "where does  anna berg LIVE",
        "What is the price of the red kettle in the shop",
        "Who was it?",
        "Something else that nobody has asked before",
    ]
    found = leaks(TRAIN, held)
    assert found.exact == ((held[0], TRAIN[0]),)
    assert found.near == ((held[1], TRAIN[1]),)
    assert found.sentences("towns") == [
        "1 of 4 towns queries are also trained on: 'where does  anna berg LIVE'.",
        "1 of 4 towns queries almost repeat trained ones: 'What is the price of the red kettle in the shop' and"
        " 'what is the price of the green kettle in the shop'.",
    ]
    assert leaks([], held).sentences() == []


def test_near_duplicates_are_those_of_the_comparison_of_all_pairs():
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(12)]
    train = [" ".join(rng.choice(words, rng.integers(3, 9), replace=False)) for _ in range(150)]
    held = [" ".join(rng.choice(words, rng.integers(3, 9), replace=False)) for _ in range(150)]
    sets = {normalised(text): {*text.split()} for text in train}
    expected = [
        text
        for text in held
        if text not in sets
        and len(own := {*text.split()}) >= 5
        and any(len(own & other) / len(own | other) >= NEAR for other in sets.values())
    ]
    assert expected
    assert [first for first, _ in leaks(train, held).near] == expected


def with_candidates():
    lists = [
        CandidateList("q", ("right", "first", "Right", "second", "third"), (1, 0, 0, 0, 0)),
        CandidateList("r", ("first", "other"), (0, 1)),
    ]
    return collection_of(lists, "x")


def test_negatives_of_the_first_stage_are_no_copies_of_relevant_documents():
    notes = []
    lists = first_stage_negatives(with_candidates(), 2, notes)
    assert [entry.documents for entry in lists] == [("right", "first", "second"), ("other", "first")]
    assert [entry.labels for entry in lists] == [(1, 0, 0), (1, 0)]
    assert notes == [
        "x: 1 candidates have the text of a relevant document and are left out.",
        "x: 1 of 2 queries have fewer than 2 negatives.",
    ]
    assert first_stage_negatives(with_candidates(), 1, [], skip=1)[0].documents == ("right", "second")
    with pytest.raises(HoldfastError, match=r"x: has no candidates to take negatives from"):
        first_stage_negatives(dataclasses.replace(with_candidates(), candidates={}), 1, [])


class Given:
    """A reranker whose scores are given."""

    cut = 0

    def __init__(self, scores):
        self.scores = scores

    def score(self, pairs, progress=None):
        return np.array([self.scores[document] for _, document in pairs])


def test_negatives_that_score_like_the_positive_are_left_out_and_counted():
    lists = [
        CandidateList("q", ("a", "b", "c", "d"), (1, 0, 0, 0), document_ids=("1", "2", "3", "4")),
        CandidateList("r", ("c",), (0,)),
    ]
    notes = []
    kept = without_false_negatives(lists, Given({"a": 1.0, "b": 1.5, "c": 0.8, "d": -2.0}), notes)
    # sigmoid(1.0) = 0.731, of which 95% are 0.694; sigmoid(0.8) = 0.690
    assert [entry.documents for entry in kept] == [("a", "c", "d"), ("c",)]
    assert kept[0].document_ids == ("1", "3", "4")
    assert notes == [
        "1 of 4 negatives score above 95% of their positive under the base, may be relevant, and are left out."
    ]
    with pytest.raises(HoldfastError, match=r"share=0: give a number above 0"):
        without_false_negatives(lists, Given({}), [], share=0)


def test_negatives_are_mined_by_an_embedding_model():
    library = pytest.importorskip("sentence_transformers")
    import torch

    class Letters(torch.nn.Module):
        """Embeds a text as its counts of letters."""

        def preprocess(self, texts, **_):
            counts = [[text.lower().count(letter) + 0.01 for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts]
            return {"counts": torch.tensor(counts)}

        tokenize = preprocess
        max_seq_length = 100

        def forward(self, features, **_):
            features["sentence_embedding"] = torch.nn.functional.normalize(features["counts"], dim=-1)
            return features

    lists = [
        CandidateList("aaa", ("aaab", "aabb", "abbb", "zzz"), (1, 0, 1, 0)),
        CandidateList("zzz", ("zzy", "zyy", "aaab"), (1, 0, 0)),
    ]
    notes = []
    model = library.SentenceTransformer(modules=[Letters()], device="cpu")
    mined = mined_negatives(collection_of(lists, "x"), 1, notes, model)
    assert [(entry.documents, entry.labels) for entry in mined] == [
        (("aaab", "abbb", "aabb"), (1, 1, 0)),
        (("zzy", "zzz"), (1, 0)),
    ]


def test_nothing_is_mined_of_a_single_document():
    (entry,) = mined_negatives(collection_of([CandidateList("q", ("a",), (1,))], "x"), 2, [], object())
    assert entry.documents == ("a",)


def test_easy_negatives_of_a_teachers_list_are_labelled_below_its_own_documents():
    lists = [CandidateList("q", ("a", "b"), (-1.5, -8.0)), CandidateList("r", ("c", "d"), (2, 0))]
    first, second = with_easy(lists, 1, 0)
    assert first.labels == (-1.5, -8.0, -8.0)
    assert second.labels == (2, 0, 0.0)


def test_old_lists_become_pairs_with_the_scores_of_their_teacher():
    lists = [CandidateList("q", ("a", "b"), (0.9, 0.2)), CandidateList("r", ("c", "d"), (2, 0))]
    made, left_out = rows_like(lists, {"query": "x", "document": "y", "label": 0.5}, "pairs", "Memory 'old'")
    assert ([row["label"] for row in made], left_out) == ([0.9, 0.2, 1.0, 0.0], 0)


def test_old_labels_of_another_type_are_refused_in_a_sentence():
    dataset = datasets.Dataset.from_list([{"query": "q", "documents": ["a"], "labels": [1]}])
    with pytest.raises(HoldfastError, match=r"Old rows do not have the types of the train dataset \(.*0.3"):
        joined(dataset, [({"query": "r", "documents": ["b"], "labels": [0.3]}, 1)])
