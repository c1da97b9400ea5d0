"""Which written examples are worth keeping."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.data.sieve import ShingleIndex, repeats, shingles

sequences = st.lists(st.integers(0, 3), max_size=20)


def test_repeats_worked_by_hand():
    assert repeats("abcd") == 0.0
    assert repeats("abc") == repeats("") == 0.0
    assert repeats("aaaaaaa") == pytest.approx(3 / 4)  # four runs, all the same
    assert repeats("abcdabcd") == pytest.approx(1 / 5)  # five runs, of which abcd is there twice
    assert repeats("abab", size=2) == pytest.approx(1 / 3)


@given(sequences)
def test_repeats_is_a_share_and_going_round_once_more_never_lowers_it(ids):
    assert 0.0 <= repeats(ids) < 1.0
    assert repeats(ids + ids + ids) >= repeats(ids + ids) - 1e-12


def test_likeness_worked_by_hand():
    seen = ShingleIndex()
    assert seen.likeness("abcdef") == 0.0
    seen.add("abcdef")  # abcde, bcdef
    seen.add("uvwxyz")
    assert seen.likeness("abcdef") == 1.0
    assert seen.likeness("bcdefg") == pytest.approx(1 / 3)  # bcdef of abcde, bcdef, cdefg
    assert seen.likeness("xyz") == 0.0
    seen.add("xyz")
    assert seen.likeness("xyz") == 1.0


@given(st.lists(sequences, max_size=8), sequences)
def test_likeness_is_the_largest_jaccard_index(known, ids):
    seen = ShingleIndex()
    for one in known:
        seen.add(one)
    found = shingles(ids)
    expected = max((len(found & shingles(one)) / len(found | shingles(one)) for one in known), default=0.0)
    assert seen.likeness(ids) == pytest.approx(expected)
