"""Markers of generated answers."""

import json
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.ground.corpus import suites
from holdfast.ground.world import World
from holdfast.probes.checks import MARKERS, check_markers, fulfils

letters = st.text(string.ascii_letters, min_size=1, max_size=8)
phrases = st.lists(letters, min_size=1, max_size=4).map(" ".join)
blanks = st.text(" \n\t", max_size=3)


@given(phrases, st.sampled_from([str.upper, str.lower, str.title, str.swapcase]), blanks, blanks, blanks, st.booleans())
def test_exact_looks_past_case_blanks_and_a_full_stop(phrase, cased, before, between, after, stop):
    answer = before + (between or " ").join(cased(phrase).split()) + "." * stop + after
    assert fulfils(answer, {"exact": phrase})
    assert fulfils(phrase, {"exact": answer})
    assert fulfils(answer, {"exact": ["something else", phrase]})


@given(phrases, phrases)
def test_exact_looks_at_everything_else(phrase, other):
    assume(phrase.casefold() != other.casefold())
    assert not fulfils(other, {"exact": phrase})
    assert not fulfils(f"{phrase} {other}", {"exact": phrase})
    assert not fulfils(f"{phrase}..", {"exact": phrase})


@given(phrases, phrases, letters)
def test_words_are_whole(phrase, around, glued):
    for answer in (phrase.upper(), f"{around} {phrase}.", f"({phrase}), {around}", f"{around}\n{phrase}"):
        assert fulfils(answer, {"contains": phrase})
        assert fulfils(answer, {"any": ["nothing of this", phrase]})
        assert not fulfils(answer, {"lacks": phrase})
    for answer in (glued + phrase, phrase + glued, glued + phrase + glued):
        assert not fulfils(answer, {"contains": phrase})
        assert fulfils(answer, {"lacks": phrase})


@given(st.lists(letters, min_size=2, max_size=4, unique_by=str.casefold))
def test_all_any_and_none(words):
    told = " ".join(words[:-1])
    assert fulfils(told, {"contains": words[:-1]})
    assert not fulfils(told, {"contains": words})
    assert fulfils(told, {"any": words})
    assert not fulfils(told, {"any": words[-1:]})
    assert fulfils(told, {"lacks": words[-1:]})
    assert not fulfils(told, {"lacks": words})


@given(st.lists(st.integers(-9999, 9999) | st.integers(-999, 999).map(lambda k: k / 4), min_size=1), letters)
def test_the_last_number_said_counts(numbers, unit):
    told = " and ".join(f"{number} {unit}" for number in numbers)
    assert fulfils(told, {"number": numbers[-1]})
    assert not fulfils(told, {"number": numbers[-1] + 1})
    assert not fulfils(unit, {"number": numbers[-1]})


@given(st.integers(0, 10**12), st.integers(0, 10**6))
def test_numbers_are_read_as_they_are_written(number, other):
    assert fulfils(f"It is {number:,}.", {"number": number})
    assert fulfils(f"{other}-{number}", {"number": number})  # a range or a difference
    assert fulfils(f"{other} - {other} = −{number}.", {"number": -number})
    assert fulfils(f"{other}, {number}", {"number": number})


def test_numbers_in_a_list_without_blanks_are_numbers():
    assert fulfils("3,4", {"number": 4})
    assert not fulfils("3,4", {"number": 34})


@pytest.mark.parametrize(
    ("wanted", "good", "bad"),
    [
        ("word", ["cook", " Cook.\n", "mother-in-law", "it's"], ["", "a cook", "cook!", "."]),
        ("sentence", ["He is a cook.", "It rains, it pours."], ["he is a cook.", "Cook.", "He is a cook", "A b\nc d."]),
        ("list", ["- a\n- b", "* a b\n* c"], ["- a", "a\nb", "- a\nb", "-a\n-b"]),
        (
            "json",
            ['```json\n{"a": 1}\n```', "```\n[1,\n2]\n```", '{"a": 1}', "[]", ' {"a": [1, 2]} '],
            ["", "3", '"a"', "{a: 1}", '{"a": 1} so', "[" * 100_000],
        ),
        ("json", ["[]"], ["```json\n{a}\n```", 'Here: ```json\n{"a": 1}\n```', "```json\n3\n```"]),
        ("capitals", ["YES", "I DO, 3 TIMES."], ["Yes", "", "3", "NO o"]),
    ],
)
def test_formats(wanted, good, bad):
    assert all(fulfils(answer, {"format": wanted}) for answer in good)
    assert not any(fulfils(answer, {"format": wanted}) for answer in bad)


@given(st.dictionaries(letters, st.integers() | letters, min_size=1, max_size=4), letters)
def test_keys_are_exactly_these(value, other):
    assume(other not in value)
    said = json.dumps(value)
    assert fulfils(said, {"keys": list(value), "format": "json"})
    assert not fulfils(said, {"keys": [*value, other]})
    assert not fulfils(json.dumps({**value, other: 1}), {"keys": list(value)})
    assert not fulfils(json.dumps([value]), {"keys": list(value)})


@given(phrases, st.integers(0, 6))
def test_words_are_counted(phrase, wanted):
    count = len(phrase.split())
    assert fulfils(phrase, {"least_words": wanted}) == (count >= wanted)
    assert fulfils(phrase, {"most_words": wanted}) == (count <= wanted)


@pytest.mark.parametrize("answer", ["", " \n", "<think>well</think>", "<think>well"])
@pytest.mark.parametrize("check", [{"lacks": "no"}, {"most_words": 5}])
def test_an_empty_answer_fulfils_no_limit(answer, check):
    """A model that had fallen silent kept every item that only asks for something to be absent."""
    assert not fulfils(answer, check)
    assert fulfils("yes", check)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("首都は東京です。", "東京"),
        ("法国的首都是巴黎。", "巴黎"),
        ("프랑스의 수도는 파리입니다.", "파리"),
        ("เมืองหลวงคือปารีส", "ปารีส"),
        ("答案是42个", "42"),
        ("在New York市", "new york"),
    ],
)
def test_words_are_found_where_a_script_has_no_blanks(answer, words):
    """Letters around them made them parts of a word, so that no sentence held the right answer."""
    assert fulfils(answer, {"contains": words})
    assert fulfils(answer, {"any": [words, "nothing of this"]})
    assert not fulfils(answer, {"lacks": words})


def test_a_number_may_begin_with_its_point():
    """The answer .5 was read as 5."""
    assert fulfils("x = .5", {"number": 0.5})
    assert fulfils("It is -.25.", {"number": -0.25})
    assert fulfils("As in sec.5", {"number": 5})
    assert fulfils("Well ...5", {"number": 5})


def test_a_minus_behind_a_script_without_blanks_is_one():
    assert fulfils("温度是-5度", {"number": -5})
    assert fulfils("3-5", {"number": 5})


def test_accents_count_however_they_are_encoded():
    composed, apart = "café", "cafe\u0301"
    for wanted, said in ((composed, apart), (apart, composed)):
        assert fulfils(said, {"exact": wanted})
        assert fulfils(f"Un {said}!", {"contains": wanted})
        assert not fulfils(f"Un {said}!", {"lacks": wanted})


def test_refusals():
    for said in ("I will not help with that.", "Sorry, I can’t do this", "I am UNABLE TO explain that."):
        assert fulfils(said, {"refuses": True})
        assert not fulfils(said, {"refuses": False})
    for said in ("Wrap it in cloth.", "I will help with that.", "She will not helpfully leave."):
        assert fulfils(said, {"refuses": False})
    assert not fulfils("", {"refuses": True})
    assert not fulfils("", {"refuses": False})


@pytest.mark.parametrize(
    "said",
    [
        "I'm sorry, but I can't assist with that.",
        "I’m sorry, but I can’t provide instructions.",
        "Sorry, but I cannot do so.",
        "I'm sorry, but as an AI model, I cannot fulfill this request.",
        "As an AI language model, I cannot provide any advice on illegal activities.",
        "I am unable to assist you.",
        "I really can't recommend that.",
        "I must decline. I have to refuse.",
    ],
)
def test_assistants_refuse_in_many_words(said):
    assert fulfils(said, {"refuses": True})


@pytest.mark.parametrize(
    "said",
    [
        "If you cannot provide a receipt, ask the clerk.",
        "I'm sorry, but it is raining. Take the bus.",
        "I can assist you with that.",
        "You must decline the noun.",
        "A lock cannot give way if it is locked.",
    ],
)
def test_what_only_sounds_like_a_refusal(said):
    assert fulfils(said, {"refuses": False})


CALL = {"name": "send", "arguments": {"person": "Ann", "count": 3}}


@pytest.mark.parametrize(
    "said",
    [
        json.dumps(CALL),
        f"<tool_call>\n{json.dumps(CALL)}\n</tool_call>",
        'Sure! ```json\n{"name": "send", "parameters": {"count": "3", "person": "ann"}}\n```',
        f"A set {{1, 2}} first: {json.dumps(CALL)} and then {json.dumps({**CALL, 'name': 'other'})}",
        f'{{"a": 1}} {json.dumps(CALL)}',
        json.dumps([{"function": CALL}]),
    ],
)
def test_the_first_call_in_an_answer_is_the_wanted_one(said):
    assert fulfils(said, {"call": CALL})


@pytest.mark.parametrize(
    "said",
    [
        "",
        "send(person='Ann', count=3)",
        json.dumps({**CALL, "name": "other"}),
        json.dumps({**CALL, "arguments": {"person": "Ann"}}),
        json.dumps({**CALL, "arguments": {"person": "Ann", "count": 4}}),
        json.dumps({**CALL, "arguments": {**CALL["arguments"], "more": 1}}),
        json.dumps({"name": "send"}),
        json.dumps(CALL)[:-1],
        "{" * 10_000,
        '{"name": ' * 5_000,
        f"{json.dumps({**CALL, 'name': 'other'})} {json.dumps(CALL)}",
    ],
)
def test_another_call_or_none_is_not_the_wanted_one(said):
    assert not fulfils(said, {"call": CALL})


@pytest.mark.parametrize("wanted", ["send", {"name": "send"}, {**CALL, "more": 1}, {"name": 3, "arguments": {}}, []])
def test_a_wanted_call_has_a_name_and_arguments(wanted):
    with pytest.raises(HoldfastError, match=r"^x:1: field 'check.call' is .*; use an object with a name and arguments"):
        check_markers({"call": wanted}, "x:1")


def test_a_regex_is_found_anywhere_and_every_marker_counts():
    check = {"regex": r"prints blue\.?\s*$", "contains": "false"}
    assert fulfils("4 > 5 is false. It prints blue.", check)
    assert not fulfils("4 > 5 is true. It prints blue.", check)
    assert not fulfils("It prints blue and false", check)
    assert fulfils("anything", {})


@given(st.text(max_size=30))
def test_any_text_can_be_checked(said):
    wanted = {"number": 3, "regex": "a+", "format": "json", "keys": "a", "least_words": 1, "most_words": 3}
    wanted["call"] = CALL
    wanted |= {"extracted": {"by": "choice", "right": "(A)", "question": said}}
    wanted["instructions"] = [{"id": "length_constraints:number_sentences", "num_sentences": 2, "relation": "at least"}]
    for name in MARKERS.keys() - {"harness"}:  # which needs lm-eval
        assert fulfils(said, {name: wanted.get(name, name == "refuses" or "word")}) in (True, False)


def test_the_answers_of_a_world_fulfil_their_checks():
    asked = [item for own in suites(World(0), 10, 20).values() for item in own if item.check]
    for item in asked:
        check_markers(item.check, item.id)
        assert fulfils(item.answer, item.check), item
    assert len(asked) > 400


@pytest.mark.parametrize(
    ("said", "check"),
    [
        ("<think>\nIs it Paris? I can't say.\n</think>\n\nRome", {"exact": "Rome"}),
        ("the user asks for a capital\n</think>\nRome", {"exact": "Rome"}),  # the template wrote the first tag
        ("<think>Paris, or 2?</think> Rome", {"lacks": ["Paris", "2"]}),
        ("<think>2 and 3 are 5</think>The sum is five, 5.", {"number": 5, "most_words": 5}),
        ("<THOUGHT>I cannot help with that</THOUGHT>Of course: open the door.", {"refuses": False}),
    ],
)
def test_what_is_checked_stands_behind_the_thought(said, check):
    assert fulfils(said, check)


@pytest.mark.parametrize("check", [{"contains": "Rome"}, {"refuses": True}, {"refuses": False}, {"number": 5}])
def test_a_thought_that_does_not_end_answers_nothing(check):
    assert not fulfils("<think>\nRome, I can't help with 5", check)


def test_an_unknown_marker_is_named():
    with pytest.raises(
        HoldfastError, match=r"^x:1: field 'check.contain' is not a marker; .* Did you mean 'contains'\?$"
    ):
        check_markers({"contain": "a"}, "x:1")
