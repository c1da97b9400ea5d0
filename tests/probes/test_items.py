"""Items as JSON lines, and the sides they are on."""

import collections
import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.data.rows import Turn
from holdfast.ground.corpus import suites
from holdfast.ground.world import World
from holdfast.probes.items import WATCH, Item, item_of, read_items, split_of

said = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
turns = st.lists(st.tuples(st.sampled_from(["system", "user", "tool"]), said), max_size=3).map(
    lambda pairs: tuple(Turn(role, content, False) for role, content in pairs)
)
checks = st.fixed_dictionaries(
    {},
    optional={
        "exact": st.lists(said, min_size=1, max_size=2),
        "contains": said,
        "number": st.integers(-1000, 1000),
        "format": st.sampled_from(["word", "json"]),
        "refuses": st.booleans(),
    },
)


@st.composite
def items(draw):
    asked = draw(turns)
    check = draw(checks) if asked else {}
    choices = tuple(draw(st.lists(said, min_size=2, max_size=4, unique=True))) if draw(st.booleans()) else ()
    text = draw(st.none() | said)
    if not (check or choices or text):
        text = "one"
    name, suite = draw(said), draw(said)
    answer = draw(st.sampled_from(["", choices[0]]) if choices else st.just("") | said)
    return Item(name, suite, draw(said), asked, answer, check, choices, text)


def write(tmp_path, *lines):
    path = tmp_path / "suite.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    return path


@given(st.lists(items(), min_size=1, max_size=5, unique_by=lambda item: (item.suite, item.id)))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, found):
    path = tmp_path_factory.mktemp("suites") / "suite.jsonl"
    path.write_text(
        "".join(json.dumps(item.to_dict(), ensure_ascii=False) + "\n" for item in found), encoding="utf-8", newline=""
    )
    assert read_items(path) == found


def test_the_suites_of_a_world_are_read_as_they_were(tmp_path):
    made = [item for own in suites(World(0), 3, 7).values() for item in own]
    path = tmp_path / "all.jsonl"
    lines = [json.dumps(item.to_dict(), ensure_ascii=False) + "\n" for item in made]
    path.write_text("".join(lines), encoding="utf-8")
    assert read_items(path) == made
    assert len(made) > 100


def test_a_prompt_is_a_users_turn_and_the_group_is_the_id_if_nothing(tmp_path):
    (item,) = read_items(write(tmp_path, "", {"id": "a", "suite": "s", "prompt": "p", "check": {"exact": "x"}}, ""))
    assert item == Item("a", "s", "a", (Turn("user", "p", False),), check={"exact": "x"})
    assert item.to_dict() == {"id": "a", "suite": "s", "group": "a", "prompt": "p", "check": {"exact": "x"}}


def test_a_plain_prompt_stands_in_for_the_question_where_there_is_no_template():
    tools = ({"type": "function"},)
    item = item_of({**GOOD, "plain": "q ->", "tools": list(tools)}, "x:1")
    assert item.to_dict() == {**GOOD, "group": "a", "plain": "q ->", "tools": list(tools)}
    assert item.as_asked(True) == item
    put = item.as_asked(False)
    assert (put.turns, put.tools, put.plain) == ((Turn("user", "q ->", False),), (), None)
    assert put == dataclasses.replace(item, turns=put.turns, tools=(), plain=None)
    assert put.as_asked(False) == put


GOOD = {"id": "a", "suite": "s", "prompt": "p", "check": {"exact": "x"}}
MALFORMED = [
    ({**GOOD, "promt": "p"}, "unknown field 'promt'. Did you mean 'prompt'?"),
    ({**GOOD, "plain": 3}, "field 'plain' is 3, but must be a string"),
    ({**GOOD, "plain": " "}, "field 'plain' is blank; write the prompt that is to be continued"),
    (
        {"id": "a", "suite": "s", "text": "t", "plain": "p"},
        "field 'plain' has no effect: the item has no question",
    ),
    ({**GOOD, "id": 3}, "field 'id' is 3, but must be a string"),
    ({**GOOD, "answer": None}, "field 'answer' is None"),
    ({**GOOD, "text": ["t"]}, "field 'text' is"),
    ({k: v for k, v in GOOD.items() if k != "id"}, "field 'id' is missing"),
    ({**GOOD, "suite": ""}, "field 'suite' is missing"),
    ({**GOOD, "messages": []}, "both 'prompt' and 'messages'"),
    ({**GOOD, "check": "x"}, "field 'check' is 'x'"),
    ({**GOOD, "check": {"exactly": "x"}}, "field 'check.exactly' is not a marker"),
    ({**GOOD, "check": {"exact": []}}, "field 'check.exact'"),
    ({**GOOD, "check": {"contains": 3}}, "field 'check.contains'"),
    ({**GOOD, "check": {"any": [""]}}, "field 'check.any'"),
    ({**GOOD, "check": {"format": "poem"}}, "field 'check.format'"),
    ({**GOOD, "check": {"format": ["word"]}}, "field 'check.format'"),
    ({**GOOD, "check": {"number": "3"}}, "field 'check.number'"),
    ({**GOOD, "check": {"number": float("nan")}}, "field 'check.number'"),
    ({**GOOD, "check": {"number": 10**400}}, "field 'check.number'"),
    ({**GOOD, "check": {"least_words": True}}, "field 'check.least_words'"),
    ({**GOOD, "check": {"refuses": 1}}, "field 'check.refuses'"),
    ({**GOOD, "check": {"regex": "("}}, "field 'check.regex' is not a regular expression"),
    ({**GOOD, "check": {"regex": 3}}, "field 'check.regex' is not a regular expression"),
    ({**GOOD, "choices": ["3", "4"], "answer": "4"}, "but the first of the 'choices' counts as right, and that is '3'"),
    ({"id": "a", "suite": "s", "prompt": "p", "choices": ["Ann", "Bea"], "answer": "bea "}, "field 'answer' is 'bea '"),
    ({"id": "a", "suite": "s", "prompt": "p", "choices": ["Ann", "Bea"], "answer": "B"}, "field 'answer' is 'B', but"),
    ({"id": "a", "suite": "s", "prompt": "p", "choices": ["Ann", "Bea"], "answer": "1"}, "field 'answer' is '1', but"),
    ({**GOOD, "choices": "ab"}, "field 'choices' must be a list"),
    ({**GOOD, "choices": ["a", ""]}, "field 'choices' must be a list"),
    ({**GOOD, "choices": ["a"]}, "field 'choices' must hold at least two"),
    ({**GOOD, "choices": ["a", "a"]}, "field 'choices' must hold at least two"),
    ({"id": "a", "suite": "s", "check": {"exact": "x"}}, "has a 'check' but no question"),
    ({"id": "a", "suite": "s", "prompt": "p"}, "asks nothing"),
    ({"id": "a", "suite": "s", "messages": "m", "text": "t"}, "field 'messages' must be a list"),
    ({"id": "a", "suite": "s", "messages": [{"role": "user"}], "text": "t"}, "field 'messages[0]' must hold"),
    ({"id": "a", "suite": "s", "messages": [{"role": "u", "content": "c"}], "text": "t"}, "field 'messages[0].role'"),
    (
        {"id": "a", "suite": "s", "messages": [{"role": "assistant", "content": "c"}], "text": "t"},
        "the last message is the assistant's",
    ),
    ([1], "every line must be a JSON object"),
    ("{", "not valid JSON"),
    ('{"id": "a", "suite": "s", "text": "\\ud800"}', "not valid JSON"),
    ("[" * 100_000, "nested too deeply to be read"),
    (dict(GOOD), "line 1 has the id 'a' too"),
]


@pytest.mark.parametrize(("line", "told"), MALFORMED, ids=[told for _, told in MALFORMED])
def test_a_malformed_line_is_one_sentence_with_its_place(tmp_path, line, told):
    with pytest.raises(HoldfastError) as caught:
        read_items(write(tmp_path, GOOD, "", line))
    message = str(caught.value)
    assert message.startswith("suite.jsonl:3: ")
    assert told in message
    assert "\n" not in message
    assert message.endswith((".", "?"))


def test_a_file_that_is_not_there_or_empty_is_named(tmp_path):
    with pytest.raises(HoldfastError, match="none.jsonl: cannot be read"):
        read_items(tmp_path / "none.jsonl")
    with pytest.raises(HoldfastError, match="suite.jsonl: holds no items"):
        read_items(write(tmp_path, "", " "))


def test_ids_may_be_those_of_another_suite(tmp_path):
    assert len(read_items(write(tmp_path, GOOD, {**GOOD, "suite": "other"}))) == 2


def test_three_in_ten_are_watched():
    count = sum(split_of(f"suite {k}") == "watch" for k in range(20_000))
    assert abs(count / 20_000 - WATCH) < 4 * (WATCH * (1 - WATCH) / 20_000) ** 0.5


def test_a_key_never_changes_sides():
    # Written down once: another hash would move what is proof today to what is watched.
    sides = "".join(split_of(f"facts {k}")[0] for k in range(40))
    assert sides == "ppwppppwwppppwpppwpppppppppwpwwwpwppppww"


@given(st.lists(items(), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_a_group_keeps_together(found):
    sides = collections.defaultdict(set)
    for item in found:
        together = dataclasses.replace(item, id=f"{item.id} again", turns=(), answer="", check={}, text="other")
        sides[item.suite, item.group] |= {item.split, together.split}
    assert all(len(own) == 1 for own in sides.values())


def test_an_item_is_of_no_more_fields_than_are_read():
    record = item_of({"id": "a", "suite": "s", "group": "g", "text": "t"}, "x:1").to_dict()
    assert record == {"id": "a", "suite": "s", "group": "g", "text": "t"}
