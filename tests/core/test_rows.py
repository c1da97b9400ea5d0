"""Examples as tensors."""

from __future__ import annotations

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.core.rows import (
    drawn,
    example_of,
    row_length,
    row_like,
    source_apart,
    to_examples,
    to_tensors,
    with_source,
)
from holdfast.core.run import SOURCE
from tests import tiny

EXAMPLES = [Example(tuple(row["input_ids"]), tuple(row["labels"])) for row in tiny.rows(7)]


def test_they_come_back_as_they_were():
    assert to_examples(to_tensors(EXAMPLES)) == EXAMPLES


def test_some_of_them_come_back_in_the_order_that_is_asked_for():
    assert to_examples(to_tensors(EXAMPLES), [5, 0, 3]) == [EXAMPLES[5], EXAMPLES[0], EXAMPLES[3]]


def test_an_example_of_a_dataset_is_the_row_itself():
    example = Example((5, 6), (-100, 6), source=2, origin="facts.jsonl:7")
    assert example_of(example, 3) is example
    assert row_like(example, EXAMPLES[0]) is example
    assert row_length(example) == 2
    assert source_apart(example) == (example, 2)


def test_a_row_with_columns_becomes_an_example_and_again_a_row():
    row = {"input_ids": [5, 6, 7], "labels": [-100, 6, 7], "attention_mask": [1, 1, 1], "seq_lengths": [2, 1]}
    example = example_of(row, 3)
    assert example == Example([5, 6, 7], [-100, 6, 7], lengths=(2, 1), origin="row 3")
    assert row_like(example, row) == row
    assert row_like(example, {"input_ids": [1]}) == {"input_ids": [5, 6, 7]}
    assert row_length(row) == 3
    assert row_length({"text": "a"}) is None


def test_a_row_without_labels_is_learned_whole():
    assert example_of({"input_ids": [5, 6]}, 0).labels == [5, 6]


@pytest.mark.parametrize(("row", "what"), [({"text": "a"}, "but text"), (7, "but int")])
def test_a_row_that_is_not_tokenised_is_refused(row, what):
    with pytest.raises(HoldfastError, match=f"Row 4 of the train dataset has no 'input_ids' \\({what}\\)"):
        example_of(row, 4)


def test_beside_packed_rows_an_example_says_its_length():
    whole, packed = Example((5, 6, 7), (5, 6, 7)), Example((1, 2, 3), (1, 2, 3), lengths=(2, 1))
    assert row_like(whole, packed).lengths == (3,)
    assert row_like(packed, packed).lengths == (2, 1)
    assert row_like(whole, {"input_ids": [1], "seq_lengths": [1]})["seq_lengths"] == [3]


@pytest.mark.parametrize("row", [{"input_ids": [5], "labels": [5], "weight": 1.0}, Example((5,), (5,))])
def test_a_row_says_whose_it_is_and_is_given_to_its_collator_as_it_was(row):
    numbered = with_source(row, 2)
    plain, source = source_apart(numbered)
    assert source == 2
    assert plain == (row if isinstance(row, dict) else numbered)
    assert isinstance(row, Example) or numbered[SOURCE] == 2


def test_a_row_that_says_nothing_goes_to_its_collator_as_it_is():
    row = {"input_ids": [5]}
    plain, source = source_apart(row)
    assert (plain is row, source) == (True, None)


def test_packed_examples_are_refused():
    with pytest.raises(HoldfastError, match="turn packing off"):
        to_tensors([Example((1, 2, 3, 4), (1, 2, 3, 4), lengths=(2, 2))])


def test_what_is_drawn_depends_on_seed_and_step_alone():
    assert drawn(50, 8, 3, 4) == drawn(50, 8, 3, 4)
    assert len({tuple(drawn(50, 8, seed, step)) for seed in range(4) for step in range(4)}) == 16
    assert sorted(drawn(5, 9, 0, 0)) == [0, 1, 2, 3, 4]
