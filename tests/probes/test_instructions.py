"""Every verifiable instruction of IFEval, with answers that follow it and answers that do not."""

from __future__ import annotations

import json

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.probes.checks import check_markers, fulfils
from holdfast.probes.instructions import INSTRUCTIONS, follows, sentences

GERMAN = "Der Hund läuft durch den Wald und er ist sehr müde, aber die Katze schläft nicht."
CASES = [
    ("keywords:existence", {"keywords": ["moss", "Fern"]}, ["A fern and MOSS."], ["A fern alone.", "Nothing."]),
    (
        "keywords:frequency",
        {"keyword": "tea", "frequency": 2, "relation": "at least"},
        ["Tea and tea.", "Tea, tea, tea."],
        ["Tea once."],
    ),
    (
        "keywords:frequency",
        {"keyword": "tea", "frequency": 2, "relation": "less than"},
        ["Tea once.", "None."],
        ["Tea and tea."],
    ),
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, ["A category."], ["A cat.", "CAT!"]),
    (
        "keywords:letter_frequency",
        {"letter": "q", "let_frequency": 2, "let_relation": "at least"},
        ["Quick queen."],
        ["Quick."],
    ),
    (
        "keywords:letter_frequency",
        {"letter": "!", "let_frequency": 1, "let_relation": "less than"},
        ["Calm."],
        ["Loud!"],
    ),
    ("language:response_language", {"language": "de"}, [GERMAN], ["The dog runs in the wood and it is tired."]),
    (
        "language:response_language",
        {"language": "hi"},
        ["यह एक अच्छा दिन है और मैं खुश हूँ।"],
        ["यो एक राम्रो दिन हो र म खुसी छु भनेर उनले भने।", "This is a good day."],
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 3, "relation": "at least"},
        ["One. Two! Three?", "1. He is Dr. Who. 2. She left at 3.5 p.m. today. So it is."],
        ["One. Two.", "It is Dr. Who."],
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 3, "relation": "less than"},
        ["One. Two."],
        ["One. Two. Three."],
    ),
    (
        "length_constraints:number_paragraphs",
        {"num_paragraphs": 2},
        ["a\n***\nb", "***\na\n***\nb"],
        ["a", "a***b***c"],
    ),
    ("length_constraints:number_words", {"num_words": 3, "relation": "at least"}, ["one two three"], ["one two"]),
    ("length_constraints:number_words", {"num_words": 3, "relation": "less than"}, ["one two"], ["one two three"]),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "moss"},
        ["First.\n\nMoss, it is.", 'First.\n\n"moss" is.'],
        ["Moss.\n\nFern.", "First.\n\nMoss.\n\nThird.", "Moss."],
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, ["[name] at [place]"], ["[name] only"]),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, ["Bye.\nP.S. More.", "p. s. so"], ["Bye.", "PS"]),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, ["Bye.\nP.P.S More."], ["Bye.\nP.S. More."]),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, ["* a\n* b", "- a\n  - b"], ["* a", "**a**\n* b"]),
    ("detectable_format:constrained_response", {}, ["My answer is maybe."], ["Maybe.", "My answer is perhaps."]),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        ["*one* and *two*", "**one** and *two*"],
        ["*one*", "* * and *two*"],
    ),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "SECTION", "num_sections": 2},
        ["SECTION 1\na\nSECTION 2\nb"],
        ["SECTION 1\na", "Section 1 Section 2"],
    ),
    ("detectable_format:json_format", {}, ['{"a": 1}', '```json\n["a"]\n```', "3"], ["{'a': 1}", "Here: {}"]),
    ("detectable_format:title", {}, ["<<Poem of joy>>\nText"], ["<Poem>", "<< >>", "<<a\nb>>"]),
    ("combination:two_responses", {}, ["a\n******\nb", "******a******b"], ["a", "a******a", "a******b******c"]),
    (
        "combination:repeat_prompt",
        {"prompt_to_repeat": "Write a poem."},
        ["write a poem. Roses are red."],
        ["Roses are red. Write a poem."],
    ),
    ("startend:end_checker", {"end_phrase": "That is all."}, ['"Well. That is ALL."'], ["That is all. Bye."]),
    ("startend:quotation", {}, ['"All of it."'], ["All of it.", '"Open', '"']),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        ["THIS is VERY fine.", "The U.S. and THE rest.", "I'm sure I'll come.", "I DON'T", "An R&B song", "A--B"],
        ["This is VERY fine."],
    ),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "less than"},
        ["This is VERY fine."],
        ["THIS is VERY fine."],
    ),
    ("change_case:english_capital", {}, ["THE DOG IS IN THE HOUSE."], ["The dog.", GERMAN.upper()]),
    ("change_case:english_lowercase", {}, ["the dog is in the house."], ["The dog is in.", GERMAN.lower()]),
    ("punctuation:no_comma", {}, ["No comma; none."], ["A, b."]),
]


def test_there_is_a_case_for_each_of_the_25_instructions():
    assert {name for name, *_ in CASES} == set(INSTRUCTIONS)
    assert len(INSTRUCTIONS) == 25


@pytest.mark.parametrize(("name", "settings", "good", "bad"), CASES, ids=[case[0] for case in CASES])
def test_an_answer_that_follows_passes_and_another_fails(name, settings, good, bad):
    asked = [{"id": name, **settings}]
    assert good
    assert bad
    check_markers({"instructions": asked}, "item")
    for answer in good:
        assert fulfils(answer, {"instructions": asked}), answer
    for answer in [*bad, "", "  "]:
        assert not fulfils(answer, {"instructions": asked}), answer


def test_all_instructions_of_a_prompt_must_be_followed():
    asked = [{"id": "punctuation:no_comma"}, {"id": "startend:quotation"}]
    assert follows('"Plain."', asked)
    assert not follows("Plain.", asked)
    assert not follows('"A, b."', asked)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two. Three.", 3),
        ("Dr. No came at 5 p.m. sharp. He left.", 2),
        ("Really?! Yes... Well.", 3),
        ("1. First thing\n2. Second thing", 1),
        ('He said "Go." Then he went.', 2),
        ("no end", 1),
        ("", 0),
    ],
)
def test_sentences_are_counted(text, count):
    assert sentences(text) == count


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ([{"id": "punctuation:no_coma"}], "there is no instruction 'punctuation:no_coma'. Did you mean"),
        ([{"id": "startend:end_checker"}], "the instruction 'startend:end_checker' needs 'end_phrase'"),
        ([], "use a list of instructions"),
        ("no_comma", "use a list of instructions"),
    ],
)
def test_instructions_that_cannot_be_verified_are_refused(asked, sentence):
    with pytest.raises(HoldfastError, match=sentence):
        check_markers({"instructions": asked}, "item")


def test_every_instruction_of_the_set_is_known(shared_data):
    path = shared_data / "ifeval" / "input_data.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        asked = [{"id": name, **of} for name, of in zip(record["instruction_id_list"], record["kwargs"], strict=True)]
        check_markers({"instructions": asked}, str(record["key"]))
        assert follows("A plain answer.", asked) in (True, False)
