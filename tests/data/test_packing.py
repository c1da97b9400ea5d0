"""Packing: nothing is lost, nothing is split, and few rows are needed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.data.packing import pack

LENGTH = 16
DRAWN = st.lists(st.tuples(st.integers(1, LENGTH), st.integers(0, 2)), max_size=40)


def example(length: int, source: int = 0, mark: int = 1) -> Example:
    return Example((mark,) * length, (-100, *(mark,) * (length - 1)), source=source, origin=f"f:{mark}")


def documents(rows: list[Example]) -> list[tuple[int, tuple[int, ...], tuple[int, ...]]]:
    found = []
    for row in rows:
        at = 0
        for length in row.lengths or (len(row.input_ids),):
            found.append((row.source, tuple(row.input_ids[at : at + length]), tuple(row.labels[at : at + length])))
            at += length
        assert at == len(row.input_ids) == len(row.labels)
    return found


@settings(deadline=None)
@given(drawn=DRAWN, strategy=st.sampled_from(["bfd", "next"]))
def test_nothing_is_lost_and_nothing_is_split(drawn, strategy):
    given_examples = [example(length, source, mark) for mark, (length, source) in enumerate(drawn, 1)]
    rows = pack(given_examples, LENGTH, strategy=strategy)
    assert Counter(documents(rows)) == Counter(documents(given_examples))
    assert all(len(row.input_ids) <= LENGTH for row in rows)
    assert sum(row.supervised for row in rows) == sum(e.supervised for e in given_examples)
    assert rows == pack(given_examples, LENGTH, strategy=strategy)


@settings(deadline=None)
@given(drawn=DRAWN)
def test_no_two_rows_of_a_best_fit_could_have_been_one(drawn):
    rows = pack([example(length) for length, _ in drawn], LENGTH)
    shortest = sorted(len(row.input_ids) for row in rows)[:2]
    assert len(rows) < 2 or sum(shortest) > LENGTH


def test_each_example_goes_into_the_fullest_row_with_room():
    marks = [example(length, mark=length) for length in (3, 9, 4, 7)]
    rows = pack([*marks, example(9, mark=90)], LENGTH)
    assert [row.input_ids for row in rows] == [
        (9,) * 9 + (7,) * 7,
        (90,) * 9 + (4,) * 4 + (3,) * 3,
    ]
    assert [row.lengths for row in rows] == [(9, 7), (9, 4, 3)]
    assert [row.origin for row in rows] == ["f:9", "f:90"]


def test_next_keeps_the_order():
    rows = pack([example(n, mark=n) for n in (9, 8, 7, 3)], LENGTH, strategy="next")
    assert [row.lengths or len(row.input_ids) for row in rows] == [9, (8, 7), 3]


def test_sources_are_never_in_one_row():
    rows = pack([example(2, 1, 1), example(2, 0, 2), example(2, 1, 3)], LENGTH)
    assert [(row.source, row.lengths) for row in rows] == [(0, ()), (1, (2, 2))]


def test_packed_rows_can_be_packed_again():
    packed = pack([example(3), example(4)], 8)
    (row,) = pack([*packed, example(9)], LENGTH)
    assert row.lengths == (9, 4, 3)


def test_an_example_that_does_not_fit_is_named():
    with pytest.raises(HoldfastError) as caught:
        pack([example(17, mark=7)], LENGTH)
    assert str(caught.value) == (
        "f:7: has 17 tokens and does not fit a row of 16; truncate it or pack into longer rows."
    )
    with pytest.raises(HoldfastError, match=r"^strategy='best': choose one of 'bfd', 'next'\.$"):
        pack([], LENGTH, strategy="best")
