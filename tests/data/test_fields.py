"""Fields of the tools people come from: each is used, or named in a note with its count, or refused with the mend."""

from __future__ import annotations

import json

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.data.examples import Row, Turn, read
from holdfast.data.fields import FIELDS, LEARNED_WHERE_FALSE, LEARNED_WHERE_TRUE, ROLE_NAMES
from holdfast.data.rows import ROLES
from holdfast.data.tokenization import tokenize

USER = {"role": "user", "content": "u"}
ANSWER = {"role": "assistant", "content": "a"}


def one(record: dict, **options: object) -> Row:
    (row,) = read([record], **options)
    return row


def said(row: Row) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in row.turns]


def notes_of(records: object, **options: object) -> list[str]:
    notes: list[str] = []
    read(records, notes=notes, **options)
    return notes


def message(records: object, **options: object) -> str:
    with pytest.raises(HoldfastError) as caught:
        read(records, **options)
    return str(caught.value)


# What is not used is named.


def test_the_format_and_the_number_of_rows_are_named():
    assert notes_of([{"messages": [USER, ANSWER]}] * 3) == ["rows: conversations ('messages'), 3 rows."]
    assert notes_of([{"text": "t"}]) == ["rows: documents ('text'), 1 row."]
    assert notes_of([{"prompt": "p", "completion": "c"}]) == [
        "rows: prompts ('prompt') with completions ('completion'), 1 row."
    ]


def test_a_field_that_is_not_used_is_named_with_its_count():
    records = [{"text": "good", "label": 1}, {"text": "bad", "label": 0}, {"text": "so", "label": None}]
    assert notes_of(records)[1:] == ["rows: 'label' in 2 of 3 rows is not used."]
    records = [
        {"prompt": "p", "completion": "c", "id": 1, "url": "x"},
        {"prompt": "p", "completion": "c", "id": 2, "url": ""},
    ]
    assert notes_of(records)[1:] == ["rows: 'id' in 2 of 2 rows; 'url' in 1 of 2 rows are not used."]


def test_a_key_of_a_message_that_is_not_used_is_named_once_for_each_row():
    records = [{"messages": [{**USER, "mood": "glad"}, {**ANSWER, "mood": "sad"}]}, {"messages": [USER, ANSWER]}]
    assert notes_of(records)[1:] == ["rows: 'mood of a message' in 1 of 2 rows is not used."]


def test_every_field_of_the_table_is_in_it_once():
    names = [name for field in FIELDS for name in field.names]
    assert len(names) == len(set(names))
    assert set(ROLE_NAMES.values()) == set(ROLES)


# Roles and turns.


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("human", "user"),
        ("Human", "user"),
        ("USER", "user"),
        ("gpt", "assistant"),
        ("AI", "assistant"),
        ("Bot", "assistant"),
        ("model", "assistant"),
        ("observation", "tool"),
        ("function", "tool"),
        ("ipython", "tool"),
        ("Tool-Response", "tool"),
        ("FUNCTION RESPONSE", "tool"),
        ("developer", "developer"),
    ],
)
def test_the_roles_of_other_tools_are_known_in_any_case(name, role):
    row = one({"conversations": [{"from": "human", "value": "u"}, {"from": name, "value": "x"}]})
    assert row.turns[1].role == role


@pytest.mark.parametrize("role", ["function_call", "tool_call", "Function-Call"])
def test_a_function_call_is_an_assistants_turn_and_learned(role):
    call = {"name": "area", "arguments": {"w": 5}}
    turns = [("human", "Area?"), (role, json.dumps(call)), ("observation", "15"), ("gpt", "It is 15.")]
    row = one({"conversations": [{"from": who, "value": what} for who, what in turns]})
    assert [turn.role for turn in row.turns] == ["user", "assistant", "tool", "assistant"]
    assert row.turns[1].learned
    assert row.turns[1].calls == ({"type": "function", "function": call},)
    assert json.loads(row.turns[1].said) == call
    assert (
        not one({"conversations": [{"from": "human", "value": "u"}, {"from": role, "value": "[plain]"}]}).turns[1].calls
    )


def test_calls_one_behind_the_other_are_one_turn():
    calls = [{"role": "tool_call", "content": json.dumps({"name": name, "arguments": {}})} for name in "ab"]
    row = one({"messages": [USER, *calls, {"role": "tool", "content": {"b": 1}}]})
    assert [call["function"]["name"] for call in row.turns[1].calls] == ["a", "b"]
    assert row.turns[2].content == '{"b": 1}'


@pytest.mark.parametrize(
    "given",
    [
        {"tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}]},
        {"tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"x": 1}}}]},
        {"tool_calls": json.dumps([{"id": "c1", "function": {"name": "f", "arguments": {"x": 1}}}])},
    ],
)
def test_tool_calls_are_kept_as_they_are_with_their_arguments_parsed(given):
    row = one({"messages": [USER, {"role": "assistant", "content": None, **given}]})
    assert row.turns[1].content == ""
    assert row.turns[1].calls == ({"type": "function", "id": "c1", "function": {"name": "f", "arguments": {"x": 1}}},)
    old = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"x": 1}'}}
    assert one({"messages": [USER, old]}).turns[1].calls[0]["function"] == {"name": "f", "arguments": {"x": 1}}


def test_the_keys_that_a_template_reads_beside_the_content_are_kept():
    answer = {"role": "tool", "content": "15", "tool_call_id": "c1", "name": "area"}
    assert one({"messages": [USER, answer]}).turns[1].keys == {"name": "area", "tool_call_id": "c1"}


@pytest.mark.parametrize("key", ["reasoning_content", "thinking", "reasoning"])
def test_what_the_assistant_thought_is_kept_apart(key):
    row = one({"messages": [USER, {**ANSWER, key: "Hm."}]})
    assert (row.turns[1].thought, row.turns[1].content) == ("Hm.", "a")
    parts = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "a"}]
    assert one({"messages": [USER, {"role": "assistant", "content": parts}]}).turns[1] == row.turns[1]
    assert notes_of([{"messages": [USER, {**ANSWER, key: "Hm."}]}])[1:] == []


def test_pairs_of_a_question_and_its_answer_are_turns():
    row = one({"system": "s", "conversation": [{"human": "u1", "assistant": "a1"}, {"human": "u2", "assistant": "a2"}]})
    assert said(row) == [("system", "s"), ("user", "u1"), ("assistant", "a1"), ("user", "u2"), ("assistant", "a2")]


@pytest.mark.parametrize("key", LEARNED_WHERE_TRUE)
@pytest.mark.parametrize(("no", "yes"), [(False, True), (0, 1), ("false", "true"), (0.0, 1.0)])
def test_a_turn_that_is_marked_as_not_learned_is_context(key, no, yes):
    row = one({"messages": [USER, {**ANSWER, key: no}, USER, {**ANSWER, key: yes}, USER, ANSWER]})
    assert [turn.learned for turn in row.turns[1::2]] == [False, True, True]


@pytest.mark.parametrize("key", LEARNED_WHERE_FALSE)
def test_a_turn_that_is_marked_as_masked_is_context(key):
    row = one({"messages": [USER, {**ANSWER, key: True}, USER, {**ANSWER, key: 0}]})
    assert [turn.learned for turn in row.turns[1::2]] == [False, True]


def test_a_mark_that_asks_to_learn_another_turn_than_the_assistants_is_named():
    notes = notes_of([{"messages": [{**USER, "train": True}, {**ANSWER, "train": True}]}])
    assert notes[1:] == [
        "rows: in 1 of 1 row, a turn of another role is marked as learned, but only the assistant's turns are."
    ]


# What stands beside the turns.


@pytest.mark.parametrize("name", ["system", "system_prompt", "system_message"])
def test_a_system_message_of_a_field_of_its_own_comes_first(name):
    assert said(one({name: "s", "question": "p", "response": "c"}))[0] == ("system", "s")
    assert said(one({name: "s", "messages": [USER, ANSWER]}))[0] == ("system", "s")
    with_it = [{"role": "system", "content": "s"}, USER, ANSWER]
    assert len(one({name: "s", "messages": with_it}).turns) == 3
    assert "another in the conversation" in message([{name: "other", "messages": with_it}])


@pytest.mark.parametrize(
    "history", [[["q", "a"]], '[["q", "a"]]', [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]]
)
@pytest.mark.parametrize(("prompt", "completion"), [("query", "response"), ("instruction", "output")])
def test_a_history_becomes_turns_that_are_learned_too(history, prompt, completion):
    record = {prompt: "p", completion: "c", "history": history, "system": "s"}
    row = one(record)
    assert said(row) == [("system", "s"), ("user", "q"), ("assistant", "a"), ("user", "p"), ("assistant", "c")]
    assert all(turn.learned for turn in row.turns if turn.role == "assistant")
    assert "rows: in 1 of 1 row, the answers in 'history' are also learned." in notes_of([record])
    assert one({prompt: "p", completion: "c", "history": []}).prompt == "p"


@pytest.mark.parametrize(
    "history",
    [
        [{"user": "q", "assistant": "a"}],
        {"user": "q", "assistant": "a"},
        [{"question": "q", "answer": "a"}],
        [{"prompt": "q", "completion": "a", "response": None}],
        [{"instruction": "q", "input": "", "output": "a"}],
        [{"user": "q"}, {"assistant": "a"}],
        [[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]],
        json.dumps([{"human": "q", "gpt": "a"}]),
    ],
)
def test_a_history_of_mappings_becomes_the_same_turns(history):
    row = one({"instruction": "p", "output": "c", "history": history})
    assert said(row) == [("user", "q"), ("assistant", "a"), ("user", "p"), ("assistant", "c")]
    assert [turn.learned for turn in row.turns if turn.role == "assistant"] == [True, True]


def test_an_answer_in_a_history_that_is_marked_as_not_learned_is_context():
    row = one({"instruction": "p", "output": "c", "history": [{"user": "q", "assistant": "a", "train": False}]})
    assert [turn.learned for turn in row.turns if turn.role == "assistant"] == [False, True]


@pytest.mark.parametrize(
    ("history", "complaint"),
    [
        ([{"instruction": "q", "input": "i", "output": "a"}], "field 'history[0].role' is missing"),
        ([{"question": "q", "query": "other", "answer": "a"}], "field 'history[0].role' is missing"),
        ([{"user": "Bob", "text": "Hi."}], "field 'history[0].role' is missing"),
        (
            [["q", "a"], {"user": "q", "assistant": "a"}],
            "field 'history[1]' is a mapping, but must be a pair [question, answer]",
        ),
        ("q, then a", "field 'history[0]' is a string, but must be a pair [question, answer]"),
    ],
)
def test_a_history_that_can_be_read_in_several_ways_is_refused(history, complaint):
    assert complaint in message([{"instruction": "p", "output": "c", "history": history}])


@pytest.mark.parametrize(
    ("record", "unused"),
    [
        ({"inputs": "Capital?", "targets": "Oslo"}, ""),
        ({"inputs": "Capital?", "targets": "Oslo", "task": "qa"}, "'task' in 1 of 1 row is not used."),
        (
            {"inputs": [1, 2], "inputs_pretokenized": "Capital?", "targets": [3], "targets_pretokenized": "Oslo"},
            "'inputs' and 'targets' in 1 of 1 row are not used.",
        ),
        ({"input": "Capital?", "output": "Oslo"}, ""),
    ],
)
def test_inputs_are_given_and_targets_are_learned(record, unused, make_tokenizer, learned):
    notes: list[str] = []
    (row,) = read([record], notes=notes)
    assert notes[1:] == ([f"rows: {unused}"] if unused else [])
    tokenizer = make_tokenizer()
    (example,) = tokenize([row], tokenizer, max_length=100).examples
    assert tokenizer.decode(example.input_ids) == "Capital?\nOslo</s>"
    assert learned(example, tokenizer) == "Oslo</s>"


def test_an_input_beside_a_text_leaves_the_row_a_document():
    assert one({"text": "once", "input": "q", "output": "a"}).text == "once"


TOOL = {"name": "weather", "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize("name", ["tools", "functions"])
@pytest.mark.parametrize(
    "tools", [[TOOL], json.dumps([TOOL]), [{"type": "function", "function": TOOL}], [json.dumps(TOOL)]]
)
def test_tools_go_with_the_conversation(name, tools):
    wanted = ({"type": "function", "function": TOOL},)
    assert one({"messages": [USER, ANSWER], name: tools}).tools == wanted
    assert one({"prompt": "p", "completion": "c", name: tools}).tools == wanted
    assert one({"conversations": [USER, ANSWER], name: "[]"}).tools == ()
    assert notes_of([{"messages": [USER, ANSWER], name: tools}])[1:] == []
    assert "'tools' is a text that is not valid JSON" in message([{"messages": [USER, ANSWER], "tools": "weather"}])


def test_settings_of_the_chat_template_go_with_the_conversation():
    row = one({"messages": [USER, ANSWER], "chat_template_kwargs": {"enable_thinking": False}})
    assert row.settings == {"enable_thinking": False}
    assert "must be a mapping" in message([{"messages": [USER, ANSWER], "chat_template_kwargs": {"tokenize": True}}])
    both = {"messages": [USER, ANSWER], "tools": [TOOL], "chat_template_kwargs": {"tools": [TOOL]}}
    assert "has tools in their own field ('tools') and others in 'chat_template_kwargs'" in message([both])


def test_a_context_is_appended_to_a_question():
    row = one({"question": "Who?", "context": "Ann came.", "answer": "Ann"})
    assert row.prompt == "Who?\n\nAnn came."


@pytest.mark.parametrize("name", ["images", "image", "videos", "audio"])
def test_rows_that_need_more_than_text_are_refused(name):
    assert f"field '{name}' holds something other than text" in message([{"messages": [USER, ANSWER], name: ["a.png"]}])
    assert one({"messages": [USER, ANSWER], name: []}).turns
    assert one({"messages": [USER, ANSWER], name: None}).turns


@pytest.mark.parametrize("name", ["messages", "conversations"])
@pytest.mark.parametrize("write", [json.dumps, repr])
def test_a_conversation_that_is_json_as_text_is_read_and_said(name, write):
    records = [{name: write([USER, ANSWER])}] * 2
    assert [said(row) for row in read(records)] == [[("user", "u"), ("assistant", "a")]] * 2
    assert notes_of(records)[1:] == [f"rows: in 2 of 2 rows, '{name}' holds text that is read as JSON."]


def test_a_prompt_and_a_completion_that_hold_messages_as_text_are_read_as_such():
    record = {"prompt": json.dumps([USER]), "completion": json.dumps([ANSWER])}
    assert said(one(record)) == [("user", "u"), ("assistant", "a")]
    assert one({"prompt": "[1, 2", "completion": "[3]"}).completion == "[3]"


def test_segments_are_a_document_of_which_parts_are_learned():
    row = one({"segments": [{"label": False, "text": "<s>q\n"}, {"label": True, "text": "a</s>"}]})
    assert (row.text, row.spans) == ("<s>q\na</s>", ((5, 10),))
    assert "field 'segments[0]' must hold a label" in message([{"segments": [{"text": "x"}]}])


def test_a_completion_without_a_prompt_is_a_document():
    assert one({"completion": "once"}).text == "once"
    assert notes_of([{"completion": "once"}]) == ["rows: documents ('completion', without a prompt), 1 row."]


def test_tokens_without_a_text_are_refused():
    assert "holds tokens ('input_ids') and no text" in message([{"input_ids": [1, 2], "labels": [1, 2]}])


# Preferences.

ASKED = {"from": "human", "value": "Say hi."}
GOOD, BAD = {"from": "gpt", "value": "Hi."}, {"from": "gpt", "value": "Go away."}
PAIRS = {
    "sharegpt": {"conversations": [ASKED], "chosen": GOOD, "rejected": BAD},
    "trl": {"prompt": "Say hi.", "chosen": "Hi.", "rejected": "Go away."},
    "trl messages": {"prompt": [ASKED], "chosen": [GOOD], "rejected": [BAD]},
    "trl implicit": {"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
    "ultrafeedback": {
        "prompt": "Say hi.",
        "messages": [ASKED, GOOD],
        "chosen": [ASKED, GOOD],
        "rejected": [ASKED, BAD],
    },
    "alpaca": {"instruction": "Say hi.", "input": "", "chosen": "Hi.", "rejected": "Go away."},
    "ms-swift": {"messages": [ASKED, GOOD], "rejected_response": "Go away."},
    "ms-swift query": {"query": "Say hi.", "response": "Hi.", "rejected_response": "Go away."},
    "openai": {"input": {"messages": [ASKED]}, "preferred_output": [GOOD], "non_preferred_output": [BAD]},
    "llama-factory": {
        "_prompt": [ASKED],
        "_response": [{"role": "assistant", "content": "Hi."}, {"role": "assistant", "content": "No."}],
    },
}


@pytest.mark.parametrize("name", PAIRS)
def test_preferences_are_refused_with_the_hint_and_learned_where_asked_for(name):
    told = message([PAIRS[name]])
    assert "--preference chosen" in told
    row = one(PAIRS[name], preference="chosen")
    if row.kind == "completion":
        assert ((row.prompt or "").strip(), row.completion) == ("Say hi.", "Hi.")
    else:
        assert said(row) == [("user", "Say hi."), ("assistant", "Hi.")]
        assert [turn.learned for turn in row.turns if turn.role == "assistant"] == [True]


def test_of_texts_that_begin_alike_the_answers_alone_are_learned():
    record = {"chosen": "\n\nHuman: Hi?\n\nAssistant: Hello you.", "rejected": "\n\nHuman: Hi?\n\nAssistant: Go."}
    row = one(record, preference="chosen")
    assert (row.prompt, row.completion) == ("\n\nHuman: Hi?\n\nAssistant:", " Hello you.")
    assert "its two answers share no beginning" in message([{"chosen": "a", "rejected": "b"}], preference="chosen")


def test_earlier_answers_of_a_preference_are_context():
    shared = [ASKED, GOOD, ASKED]
    row = one({"chosen": [*shared, GOOD], "rejected": [*shared, BAD]}, preference="chosen")
    assert [turn.learned for turn in row.turns if turn.role == "assistant"] == [False, True]
    row = one({"conversations": shared, "chosen": GOOD, "rejected": BAD}, preference="chosen")
    assert [turn.learned for turn in row.turns if turn.role == "assistant"] == [False, True]


KTO = [("label", True, False), ("kto_tag", True, False), ("label", 1, 0), ("label", "True", "False")]


@pytest.mark.parametrize(("name", "yes", "no"), KTO)
def test_of_rows_marked_as_desired_or_not_the_desired_are_learned(name, yes, no):
    records = [{"prompt": "p", "completion": c, name: v} for c, v in (("good", yes), ("bad", no), ("fine", yes))]
    assert [row.completion for row in read(records)] == ["good", "fine"]
    assert notes_of(records)[1:] == [
        f"rows: in 1 of 3 rows, '{name}' is false: the answer is not desired, and the row is left out."
    ]
    talks = [{"messages": [USER, ANSWER], name: v} for v in (no, yes)]
    assert [row.origin for row in read(talks)] == ["rows:2"]
    assert f"has no row to learn: '{name}' is false in all of them" in message(talks[:1])


def test_a_label_that_is_a_class_is_named_and_not_used():
    records = [{"prompt": "p", "completion": "c", "label": label} for label in ("news", "sport")]
    assert len(read(records)) == 2
    assert notes_of(records)[1:] == ["rows: 'label' in 2 of 2 rows is not used."]


def test_rows_of_weight_0_are_left_out_and_below_0_refused():
    records = [{"prompt": "p", "completion": "c", "weight": weight} for weight in (1, 0, 0.5)]
    assert [row.origin for row in read(records)] == ["rows:1", "rows:3"]
    assert notes_of(records)[1:] == [
        "rows: 'weight' in 1 of 3 rows is not used.",
        "rows: in 1 of 3 rows, 'weight' is 0, and the row is left out.",
    ]
    assert "asks to unlearn the row" in message([{"prompt": "p", "completion": "c", "weight": -1.0}])


def test_the_undesired_answers_of_llama_factory_are_left_out():
    empty = {"role": "assistant", "content": ""}
    records = [{"_prompt": [USER], "_response": pair} for pair in ([ANSWER, empty], [empty, ANSWER])]
    assert [said(row) for row in read(records)] == [[("user", "u"), ("assistant", "a")]]


def test_a_turn_without_more_stays_a_plain_turn():
    assert one({"messages": [USER, ANSWER]}).turns == (Turn("user", "u"), Turn("assistant", "a"))


def test_a_completion_beside_a_misspelt_prompt_is_refused(tmp_path):
    path = tmp_path / "typo.jsonl"
    path.write_text('{"promt": "Who?", "completion": "I"}\n' * 2)
    with pytest.raises(
        HoldfastError, match=r"typo\.jsonl:1: the column 'promt' is not read, .* Did you mean 'prompt'\?"
    ):
        read(str(path))
