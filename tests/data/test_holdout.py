"""Keeping training and test rows apart."""

from __future__ import annotations

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.data.examples import Row, Turn
from holdfast.data.holdout import duplicates, split_held_out


def rows(count: int) -> list[Row]:
    return [Row(text=f"document {i}", origin=f"d:{i}") for i in range(count)]


def test_duplicates_are_found_whatever_their_case_space_and_kind():
    train = [Row(prompt="Who?", completion=" Me", origin="train:1"), Row(text="a b", origin="train:2")]
    train.append(Row(text="A  b", origin="train:3"))
    test = [
        Row(text="c", origin="test:1"),
        Row(turns=(Turn("user", "who? "), Turn("assistant", "ME\n")), origin="test:2"),
        Row(text="A\nB", origin="test:3"),
    ]
    assert [(t.origin, s.origin) for t, s in duplicates(train, test)] == [("test:2", "train:1"), ("test:3", "train:2")]
    assert duplicates(train, test[:1]) == []


def test_a_split_keeps_order_loses_nothing_and_is_the_same_again():
    given = rows(1000)
    train, held = split_held_out(given, 0.2, seed=0)
    assert sorted([*train, *held], key=given.index) == given
    assert train == [row for row in given if row in train]
    assert 150 < len(held) < 250
    assert split_held_out(given, 0.2, seed=0) == (train, held)
    assert split_held_out(given, 0.2, seed=1) != (train, held)


def test_a_row_stays_on_its_side_when_others_are_added():
    held = set(split_held_out(rows(500), 0.3, seed=4)[1])
    more = set(split_held_out(rows(1000), 0.3, seed=4)[1])
    assert held == {row for row in more if row in set(rows(500))}


def test_duplicates_never_straddle_a_split():
    given = [Row(text=text, origin=f"{text}{i}") for i in range(3) for text in ("one", "ONE ", "two", " two", "three")]
    for seed in range(20):
        train, held = split_held_out(given, 0.5, seed)
        assert train
        assert held
        assert duplicates(train, held) == []


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_neither_side_is_empty(share):
    for seed in range(10):
        train, held = split_held_out(rows(4), share, seed)
        assert (len(train), len(held)) == ((3, 1) if share < 0.5 else (1, 3))


def test_what_cannot_be_split_says_so():
    with pytest.raises(HoldfastError, match=r"^share=1: give a number above 0 and below 1 \(of the rows\)\.$"):
        split_held_out(rows(4), 1, 0)
    with pytest.raises(HoldfastError, match="they need at least two different contents; give more rows"):
        split_held_out([*rows(1), *rows(1)], 0.5, 0)
