"""The numbers of the training examples' tokens."""

from __future__ import annotations

import pytest
import torch

from holdfast.core.batches import collate
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.core.token_index import TokenIndex
from holdfast.data.packing import pack
from holdfast.train.supervised import SupervisedTokens
from tests import tiny

ROWS = tiny.rows(9, seed=2)
EXAMPLES = [Example(row["input_ids"], row["labels"]) for row in ROWS]


def keys(examples):
    batch = collate(examples, 0)
    return SupervisedTokens.of(batch, None).keys(batch)


def test_tokens_are_numbered_in_order_and_documents_that_are_the_same_are_one():
    index = TokenIndex()
    assert index.add(keys(EXAMPLES[:4])) == [True] * 4
    assert index.add(keys([EXAMPLES[1], EXAMPLES[4]])) == [False, True]
    assert index.documents == 5
    assert index.tokens == sum(example.supervised for example in EXAMPLES[:5])
    token_N, document_N = index.find(keys(EXAMPLES[:5]))
    assert token_N.tolist() == list(range(index.tokens))
    assert document_N.tolist() == [d for d, e in enumerate(EXAMPLES[:5]) for _ in range(e.supervised)]


def test_order_padding_and_packing_do_not_matter():
    index = TokenIndex()
    index.add(keys(EXAMPLES))
    expected = {id(e): index.find(keys([e])) for e in EXAMPLES}
    some = [EXAMPLES[i] for i in (7, 2, 5)]
    token_N, document_N = index.find(keys(some))
    assert torch.equal(token_N, torch.cat([expected[id(e)][0] for e in some]))
    assert torch.equal(document_N, torch.cat([expected[id(e)][1] for e in some]))
    packed = pack(EXAMPLES, 24)
    assert any(len(example.lengths) > 1 for example in packed)
    token_N, _ = index.find(keys(packed))
    assert sorted(token_N.tolist()) == list(range(index.tokens))


def test_a_row_with_other_labels_is_another_and_one_that_was_not_there_is_refused():
    index = TokenIndex()
    index.add(keys(EXAMPLES[:3]))
    long = next(example for example in EXAMPLES[:3] if len(example.input_ids) > 6)
    other = Example(long.input_ids, [-100] * 5 + list(long.input_ids[5:]))
    unseen = next(example for example in EXAMPLES[4:] if example.supervised)
    with pytest.raises(HoldfastError, match="2 of the 3 rows of this batch were not there before training"):
        index.find(keys([EXAMPLES[0], other, unseen]))


def test_a_row_of_which_nothing_is_learned_need_not_have_been_there():
    index = TokenIndex()
    index.add(keys(EXAMPLES[:1]))
    silent = Example([7, 8, 9], [-100] * 3)
    tokens, documents = index.find(keys([silent, EXAMPLES[0], silent]))
    assert len(tokens) == len(documents) == EXAMPLES[0].supervised
