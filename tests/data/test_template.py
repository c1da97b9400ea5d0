"""Tools, calls and thoughts: given to the chat template as it reads them, and said where it does not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.data.examples import Row, Turn, read
from holdfast.data.template import support_of, unread
from holdfast.data.tokenization import ids_of_prompts, tokenize
from tests.data import conftest as templates

TOOL = {"name": "weather", "description": "Looks.", "parameters": {"type": "object", "properties": {}}}
CALL = {"name": "weather", "arguments": {"town": "Oslo"}}
WITH_CALLS = (
    "{% if tools %}<|im_start|>tools\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function.name }} {{ c.function.arguments | tojson }}</call>"
    "{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WANTS_TEXT = WITH_CALLS.replace("{{ c.function.arguments | tojson }}", "{{ '' + c.function.arguments }}")
WRITES_PYTHON = WITH_CALLS.replace("{{ c.function.arguments | tojson }}", "{{ c.function.arguments }}")
ONLY_THREE_ROLES = (
    "{% for m in messages %}{% if m.role not in ['system', 'user', 'assistant'] %}{{ raise_exception('no such role') }}"
    "{% endif %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def shipped() -> Callable[[str], str]:
    """Returns a chat template of a released model, as trl ships it."""
    trl = pytest.importorskip("trl")
    folder = Path(trl.__file__).parent / "chat_templates"
    return lambda name: (folder / f"{name}.jinja").read_text(encoding="utf-8")


def conversation(**more: object) -> Row:
    messages = [
        {"role": "user", "content": "Rain?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "abcdef123", "type": "function", "function": CALL}],
        },
        {"role": "tool", "name": "weather", "tool_call_id": "abcdef123", "content": "wet"},
        {"role": "assistant", "content": "It rains."},
    ]
    (row,) = read([{"messages": messages, **more}])
    return row


def said(row: Row, tokenizer: object, **options: object) -> tuple[str, str, list[str]]:
    """Returns the text of a row, what is learned of it, and what is said."""
    prepared = tokenize([row], tokenizer, max_length=100_000, **options)
    text = "".join(tokenizer.decode(example.input_ids) for example in prepared.examples)
    learned = "".join(
        tokenizer.decode([label for label in example.labels if label != -100]) for example in prepared.examples
    )
    return text, learned, prepared.notes.sentences()


def test_tools_are_in_the_prompt_in_training_and_when_asked(make_tokenizer):
    tokenizer = make_tokenizer(WITH_CALLS)
    row = conversation(tools=[TOOL])
    text, learned, notes = said(row, tokenizer)
    shown = json.dumps([{"type": "function", "function": TOOL}])
    assert text.startswith(f"<|im_start|>tools\n{shown}<|im_end|>\n")
    assert "Looks." not in learned
    assert tokenizer.decode(ids_of_prompts([row], tokenizer)[0]).startswith(f"<|im_start|>tools\n{shown}<|im_end|>\n")
    assert notes == []


def test_a_call_is_written_by_the_template_and_learned(make_tokenizer):
    _, learned, notes = said(conversation(), make_tokenizer(WITH_CALLS))
    assert learned == '<call>weather {"town": "Oslo"}</call><|im_end|>It rains.<|im_end|>'
    assert notes == []


@pytest.mark.parametrize("template", [WANTS_TEXT, WRITES_PYTHON])
def test_arguments_are_given_as_text_where_the_template_wants_them_so(make_tokenizer, template):
    tokenizer = make_tokenizer(template)
    assert support_of(tokenizer).calls == "text"
    assert said(conversation(), tokenizer)[1].startswith('<call>weather {"town": "Oslo"}</call>')


def test_what_the_assistant_thought_is_learned_where_the_template_reads_it(make_tokenizer):
    row = Row(turns=(Turn("user", "u"), Turn("assistant", "a", thought="Count on.")))
    _, learned, notes = said(row, make_tokenizer(WITH_CALLS))
    assert learned == "<think>Count on.</think>a<|im_end|>"
    assert notes == []
    other = make_tokenizer(WITH_CALLS.replace("reasoning_content", "thinking"))
    assert said(row, other)[1] == learned


def test_what_the_template_does_not_read_is_said_with_its_count(make_tokenizer):
    thought = Row(turns=(Turn("user", "u"), Turn("assistant", "a", thought="Count on.")))
    rows = [conversation(tools=[TOOL]), thought, thought]
    prepared = tokenize(rows, make_tokenizer(templates.CHATML), max_length=10_000)
    assert prepared.notes.sentences() == [
        "In 1 of 3 rows, the tools are not in the prompt, because the chat template does not read them.",
        "In 1 of 3 rows, tool calls are written as JSON, because the chat template does not read them.",
        "In 2 of 3 rows, the assistant's thoughts are not learned, because the chat template does not read them.",
    ]
    plain = tokenize(rows, make_tokenizer(), max_length=10_000).notes.sentences()
    assert "In 1 of 3 rows, the tools are not in the prompt, because no chat template is used." in plain
    assert "In 2 of 3 rows, the assistant's thoughts are not learned, because no chat template is used." in plain


def test_a_call_that_the_template_does_not_read_is_learned_as_json(make_tokenizer):
    for template in (templates.CHATML, None):
        _, learned, _ = said(conversation(), make_tokenizer(template))
        assert json.dumps(CALL) in learned
        assert "wet" not in learned


def test_a_thought_in_the_content_that_a_template_drops_is_said(make_tokenizer):
    drops = templates.CHATML.replace("{{ m.content }}", "{{ m.content.split('</think>')[-1] }}")
    row = Row(turns=(Turn("user", "u"), Turn("assistant", "<think>Count on.</think>a")))
    assert said(row, make_tokenizer(templates.CHATML))[2] == []
    assert said(row, make_tokenizer(drops))[2] == [
        "In 1 of 1 row, the assistant's thoughts are not learned, because the chat template does not read them."
    ]


def test_a_role_that_the_template_refuses_is_written_as_the_nearest_and_said(make_tokenizer):
    tokenizer = make_tokenizer(ONLY_THREE_ROLES)
    row = Row(turns=(Turn("developer", "d"), *conversation().turns))
    text, learned, notes = said(row, tokenizer)
    assert "<|im_start|>system\nd<|im_end|>" in text
    assert "<|im_start|>user\nwet<|im_end|>" in text
    assert learned.endswith("It rains.<|im_end|>")
    assert (
        "In 1 of 1 row, turns of the role tool are written as the user's, because the chat template does not know it."
        in notes
    )
    assert any("turns of the role developer are written as the system's" in note for note in notes)


def test_settings_reach_the_template(make_tokenizer):
    tokenizer = make_tokenizer("{% if loud %}LOUD {% endif %}" + templates.CHATML)
    (row,) = read([{"prompt": "p", "completion": "c", "chat_template_kwargs": {"loud": True}}])
    assert said(row, tokenizer)[0].startswith("LOUD <|im_start|>user")
    assert tokenizer.decode(ids_of_prompts([row], tokenizer)[0]).startswith("LOUD ")


def test_settings_that_the_template_does_not_read_are_named_with_their_count(make_tokenizer):
    loud = "{% if loud is defined and loud %}LOUD {% endif %}" + templates.CHATML
    given = [{"loud": True, "depth": 2}, {"loud": False, "depth": None}, {"depth": 3, "hue": "red"}]
    rows = read([{"prompt": "p", "completion": "c", "chat_template_kwargs": one} for one in given])
    depth, hue = (
        f"In {count} of 3 rows, '{name}' in 'chat_template_kwargs' is not used, because the chat template does not"
        " read it."
        for count, name in ((2, "depth"), (1, "hue"))
    )
    assert tokenize(rows, make_tokenizer(loud), max_length=1000).notes.sentences() == [depth, hue]
    plain = tokenize(rows, make_tokenizer(), max_length=1000).notes.sentences()
    assert "In 3 of 3 rows, the settings of the chat template are not used, because no chat template is used." in plain


@pytest.mark.parametrize(
    "template",
    [
        "{% set loud = loud if loud is defined else true %}{{ loud }}",
        "{% if not loud is defined %}{% set loud = false %}{% endif %}{{ loud }}",
        "{% macro say(m) %}{{ m.content }}{{ loud }}{% endmacro %}{{ say(messages[0]) }}",
        "{% for m in messages %}{% generation %}{{ loud }}{% endgeneration %}{% break %}{% endfor %}",
    ],
)
def test_a_setting_that_is_read_anywhere_in_a_template_counts_as_read(make_tokenizer, template):
    row = Row(turns=(Turn("user", "u"), Turn("assistant", "a")), settings={"loud": True, "quiet": True})
    assert unread(row, make_tokenizer(template)) == ["quiet"]
    assert unread(row, make_tokenizer("{% set loud = 1 %}{{ loud }}")) == ["loud", "quiet"]


def test_settings_are_looked_up_in_the_template_that_is_used(make_tokenizer):
    with_tools = "{{ tools | tojson }}{{ loud }}" + templates.CHATML
    tokenizer = make_tokenizer({"default": templates.CHATML, "tool_use": with_tools})
    loud = Row(turns=(Turn("user", "u"), Turn("assistant", "a")), settings={"loud": True})
    assert unread(loud, tokenizer) == ["loud"]
    assert unread(dataclasses.replace(loud, tools=(TOOL,)), tokenizer) == []
    own = {"loud": True, "chat_template": "{{ loud }}" + templates.CHATML}
    assert unread(dataclasses.replace(loud, settings=own), tokenizer) == []


def test_only_a_setting_that_a_released_template_does_not_read_is_named(make_tokenizer, shipped):
    row = Row(turns=(Turn("user", "u"), Turn("assistant", "a")), settings={"enable_thinking": False})
    for name, known in (("qwen3", True), ("glm4moe", True), ("qwen2_5", False), ("llama3", False)):
        assert unread(row, make_tokenizer(shipped(name))) == ([] if known else ["enable_thinking"])


@pytest.mark.parametrize(
    ("name", "calls", "tools"),
    [
        ("qwen2_5", "mapping", True),
        ("qwen3", "mapping", True),
        ("llama3_1", "mapping", True),
        ("gptoss", "mapping", True),
        ("glm4moe", "mapping", True),
        ("gemma4", "mapping", True),
        ("deepseekv3", "text", False),
        ("llama3", None, False),
        ("gemma3", None, False),
        ("phi3", None, False),
    ],
)
def test_released_templates_write_calls_and_their_answers(make_tokenizer, shipped, name, calls, tools):
    tokenizer = make_tokenizer(shipped(name))
    found = support_of(tokenizer)
    assert (found.calls, found.tools) == (calls, tools)
    text, learned, notes = said(conversation(tools=[TOOL]), tokenizer)
    assert "weather" in learned
    assert "Oslo" in learned
    assert "It rains." in learned
    assert "wet" in text
    assert "wet" not in learned
    assert ("Looks." in text) == tools
    assert any("tools are not in the prompt" in note for note in notes) != tools


@pytest.mark.parametrize("name", ["qwen3", "glm4moe", "nemotron_3_nano", "gptoss"])
def test_released_templates_of_thinking_models_write_the_thought(make_tokenizer, shipped, name):
    messages = [("user", "Qone?"), ("assistant", "Aone."), ("user", "Qtwo?"), ("assistant", "Atwo.")]
    row = Row(
        turns=tuple(
            Turn(role, content, thought="Count on." if role == "assistant" else "") for role, content in messages
        )
    )
    _, learned, _ = said(row, make_tokenizer(shipped(name)))
    assert "Count on." in learned
    assert "Atwo." in learned


# What a template refuses.

REFUSES = [
    Row(
        turns=(*([Turn("system", "s")] if n in (3, 4, 9) else []), Turn("user", "u"), Turn("assistant", f"a{n}")),
        origin=f"d:{n}",
    )
    for n in range(16)
]


def test_rows_that_a_template_refuses_are_counted(make_tokenizer):
    tokenizer = make_tokenizer(templates.REFUSES_SYSTEM)
    with pytest.raises(HoldfastError) as caught:
        tokenize(REFUSES, tokenizer, max_length=100)
    assert str(caught.value) == (
        "d:3: the chat template of this tokenizer refuses this conversation (no system role), as it does 3 of 16 rows; "
        "leave them out (--refused drop), leave the template unused (--raw), or mend them."
    )


def test_rows_that_a_template_refuses_are_left_out_where_asked(make_tokenizer):
    prepared = tokenize(REFUSES, make_tokenizer(templates.REFUSES_SYSTEM), max_length=100, refused="drop")
    assert len(prepared.examples) == 13
    assert prepared.notes.sentences() == [
        "3 of 16 rows were left out, because the chat template of this tokenizer refuses this conversation (no system "
        "role) (first: d:3)."
    ]
    with pytest.raises(HoldfastError, match="refused='keep': choose one of 'error', 'drop'"):
        tokenize(REFUSES, make_tokenizer(), max_length=100, refused="keep")
