"""What is asked twice under two names is one group, on one side."""

from __future__ import annotations

from holdfast.bench.measured.duplicates import merge_duplicates
from holdfast.data.rows import Row, Turn
from holdfast.data.tokenization import tokenize
from holdfast.probes.items import Item
from holdfast.probes.suite import Suite
from tests import tiny


def question(name, group, text, suite="a"):
    return Item(id=name, suite=suite, group=group, turns=(Turn("user", text, False),), check={"exact": "x"})


def groups(suites):
    return [item.group for suite in suites for item in suite.items]


def test_the_same_question_in_two_suites_is_one_group_and_so_is_all_that_is_asked_of_either():
    one = Suite("a", "retained", items=(question("1", "Ann", "Who?"), question("2", "Bob", "Where?")))
    two = Suite("b", "learned", items=(question("9", "Cy", "who? ", "b"), question("8", "Cy", "When?", "b")))
    made, moved = merge_duplicates([one, two])
    assert groups(made) == ["Ann", "Bob", "Ann", "Ann"]
    assert moved == 2
    assert len({item.split for suite in made for item in suite.items if item.group == "Ann"}) == 1


def test_what_differs_stays_as_it_was():
    one = Suite("a", "retained", items=tuple(question(f"{n}", f"{n}", f"{n}?") for n in range(9)))
    made, moved = merge_duplicates([one])
    assert (made, moved) == ([one], 0)


def test_an_item_that_is_a_text_of_another_file_is_on_its_side():
    (example,) = tokenize([Row(text="t20 t21", origin="a:1")], tiny.tokenizer(), max_length=16).examples
    item = Item(id="x", suite="b", group="x", text="t20  t21")
    for suites in (
        [Suite("a", "retained", texts=(example,)), Suite("b", "retained", items=(item,))],
        [Suite("b", "retained", items=(item,)), Suite("a", "retained", texts=(example,))],
    ):
        made, moved = merge_duplicates(suites)
        assert groups(made) == [example.content]
        assert moved == 1


def test_a_chain_of_twins_ends_in_one_group_whatever_their_order():
    parts = [question("1", "a", "p"), question("2", "b", "p"), question("3", "b", "q"), question("4", "c", "q")]
    for order in (parts, parts[::-1]):
        made, _ = merge_duplicates([Suite("s", "retained", items=tuple(order))])
        assert len(set(groups(made))) == 1
