"""The record of what steered a training: what it recognises under which disguise, and how it is written and read."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.data.digest import digest_of
from holdfast.data.rows import Row, Turn
from holdfast.data.tokenization import tokenize
from holdfast.probes.items import Item
from holdfast.probes.watch_record import (
    FILE,
    WatchEntry,
    WatchRecord,
    documents,
    of_document,
    of_item,
    record_path,
    shared_group,
    side_of,
)
from tests import tiny

QUESTION = Item(
    id="q1", suite="facts", group="q1", turns=(Turn("user", "Who is  Ann?", False),), check={"exact": "Me."}
)
CHOICE = Item(id="c1", suite="pairs", group="c1", choices=("she sees", "she see", "she seeing"))


def record(*items, use="keep"):
    return WatchRecord(tuple(WatchEntry(use, one.suite, one.id, shared_group(one), of_item(one)) for one in items))


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "other", "group": "other", "suite": "renamed"},
        {"id": "other", "turns": (Turn("user", "who is Ann? ", False),)},
        {"id": "other", "check": {"contains": "me"}, "answer": "Me."},
    ],
)
def test_an_item_is_known_again_under_another_name_suite_and_check(changes):
    assert record(QUESTION).has_item(dataclasses.replace(QUESTION, **changes))


def test_an_item_whose_wording_was_mended_is_known_by_its_name():
    assert record(QUESTION).has_item(dataclasses.replace(QUESTION, turns=(Turn("user", "Who was Ann?", False),)))


def test_the_order_of_the_wrong_choices_makes_no_other_item():
    turned = dataclasses.replace(CHOICE, id="x", choices=("she sees", "she seeing", "she see"))
    assert record(CHOICE).has_item(turned)
    assert not record(CHOICE).has_item(dataclasses.replace(CHOICE, id="x", choices=("he sees", "he see")))


def test_what_shares_a_group_with_a_watched_item_is_watched_and_what_stands_alone_is_not():
    of_ann = dataclasses.replace(QUESTION, group="Ann")
    other = Item(
        id="q2", suite="hops", group="Ann", turns=(Turn("user", "Whose is she?", False),), check={"exact": "M"}
    )
    assert record(of_ann).has_item(other)
    # An id that happens to be the name of nothing but itself.
    assert not record(QUESTION).has_item(dataclasses.replace(other, id="q1", group="q1"))


def test_a_text_is_known_as_an_item_and_as_a_row_at_any_length():
    text = " ".join(f"t{20 + i % 30}" for i in range(40))
    tokenizer = tiny.tokenizer()
    long, short = (tokenize([Row(text=text, origin="a:1")], tokenizer, max_length=n).examples for n in (64, 16))
    assert len(short) > 1 == len(long)
    item = Item(id="x", suite="texts", group="x", text=text.replace(" ", "\n"))
    assert record(item).has_document(short, tokenizer)
    seen = WatchRecord((WatchEntry("keep", "texts", "a:1", "", of_document(long, tokenizer)),))
    assert seen.has_item(item)
    assert seen.has_document(short, tokenizer)
    # Tokens alone, as a trainer's own dataset has them.
    bare = [dataclasses.replace(example, content="") for example in long]
    row = WatchEntry("eval", "eval", "row 0", "", of_document(bare, tokenizer))
    assert WatchRecord((row,)).has_document(short, tokenizer)
    other = tokenize([Row(text="t20 t22", origin="a:2")], tokenizer, max_length=16).examples
    assert not seen.has_document(other, tokenizer)


def test_examples_of_one_origin_are_one_document():
    parts = [Example([1], [1], origin=origin) for origin in ("a", "", "b", "a", "")]
    assert [len(one) for one in documents(parts)] == [2, 1, 1, 1]


def test_a_text_is_on_one_side_in_every_file():
    tokenizer = tiny.tokenizer()
    sides = set()
    for origin in ("a.txt:1", "b.txt:9"):
        (made,) = tokenize([Row(text="t20 t21", origin=origin)], tokenizer, max_length=16).examples
        sides.add(side_of(made))
    assert len(sides) == 1
    watched = 0
    for number in range(300):
        (made,) = tokenize(
            [Row(text=f"t20 t{20 + number % 40} t{20 + number // 40}")], tokenizer, max_length=16
        ).examples
        watched += side_of(made) == "watch"
    assert 60 < watched < 120


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)


@given(st.lists(st.tuples(names, names, names), max_size=5))
def test_it_is_read_as_it_was_written(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("record")
    made = WatchRecord(tuple(WatchEntry("learn", a, b, c, (digest_of([a]), digest_of([b]))) for a, b, c in parts))
    made.write(folder)
    assert WatchRecord.read(folder / FILE) == made
    assert made | made == WatchRecord(tuple(dict.fromkeys(made.things)))


@pytest.mark.parametrize(
    "text", ["", "{}", '{"version": 9, "watched": []}', '{"version": 1, "watched": [{"use": "x"}]}']
)
def test_a_record_that_cannot_be_read_is_no_record_of_nothing(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(HoldfastError, match="what steered the training is not known; save the model again"):
        WatchRecord.read(tmp_path / FILE)


def test_the_record_of_the_folder_above_counts_where_there_is_none_beside_the_model(tmp_path):
    model = tmp_path / "out" / "final"
    model.mkdir(parents=True)
    assert record_path(model) is None
    record(QUESTION).write(tmp_path / "out")
    assert record_path(model) == (tmp_path / "out" / FILE)
    record(CHOICE).write(model)
    assert record_path(model) == model / FILE
    assert json.loads((model / FILE).read_text())["watched"][0]["id"] == "c1"
    assert record_path("owner/name") is None
