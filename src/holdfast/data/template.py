"""Writes conversations with a tokenizer's chat template, after probing what the template supports."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import jinja2
from jinja2 import meta, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser

from holdfast.data.fields import THOUGHTS, names_of
from holdfast.data.rows import Row, Turn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

_WORD = "holdfast"
_ID = "abcdef123"  # Mistral's templates demand nine letters and digits
_TOOL = {
    "type": "function",
    "function": {"name": _WORD, "description": "", "parameters": {"type": "object", "properties": {}}},
}


@dataclasses.dataclass(frozen=True)
class Support:
    """The parts of a conversation that a chat template supports.

    Attributes:
        parts: Whether it loses contents that are strings and writes contents that are lists of parts.
        thoughts: The key under which it reads the assistant's thought; None if it reads none.
        calls: The form of a call's arguments that it reads, a mapping or text; None if it does not read calls.
        tools: Whether it writes the tools of a row.
        tool_turns: Whether it writes a turn of the role tool.
        developer: Whether it writes a turn of the role developer.
        ends: The text that it writes behind a last assistant's turn.
        begins: Whether its text begins with the tokenizer's beginning-of-sequence token.
    """

    parts: bool = False
    thoughts: str | None = None
    calls: Literal["mapping", "text"] | None = None
    tools: bool = False
    tool_turns: bool = False
    developer: bool = False
    ends: str = ""
    begins: bool = False


def support_of(tokenizer: Tokenizer) -> Support:
    """Returns what the chat template of a tokenizer supports.

    No template declares this, so the function renders small conversations and looks for a marker word in the text.
    """
    return _support_of(tokenizer, str(tokenizer.chat_template))


@functools.lru_cache(maxsize=8)
def _support_of(tokenizer: Tokenizer, template: str) -> Support:
    del template  # A part of the cache key: another template of the same tokenizer is probed again.

    def written(turns: Sequence[Turn], support: Support, **given: Any) -> str:
        try:
            return rendered(tokenizer, turns, support, **given)
        except Exception:
            return ""

    user, reply = Turn("user", "Q"), Turn("assistant", "A")
    plain = Support()
    if _WORD not in written([Turn("user", _WORD)], plain):
        parts = dataclasses.replace(plain, parts=True)
        plain = parts if _WORD in written([Turn("user", _WORD)], parts) else plain
    thinking = Turn("assistant", "A", thought=_WORD)
    thoughts = next(
        (key for key in THOUGHTS if _WORD in written([user, thinking], dataclasses.replace(plain, thoughts=key))), None
    )
    calls = _calls(lambda turns, support: written(turns, support), plain, user)
    support = dataclasses.replace(plain, thoughts=thoughts, calls=calls)
    asked = Turn("assistant", "" if calls else "A", calls=(_call({}),) if calls else ())
    answer = Turn("tool", _WORD, keys={"name": "tool", "tool_call_id": _ID})
    last = written([user, Turn("assistant", _WORD)], support)
    return dataclasses.replace(
        support,
        tools=_WORD in written([user, reply], support, tools=(_TOOL,)),
        tool_turns=_WORD in written([user, asked, answer], support),
        developer=_WORD in written([Turn("developer", _WORD), user], support),
        ends=last.rpartition(_WORD)[2] if _WORD in last else "",
        begins=bool(tokenizer.bos_token) and last.startswith(str(tokenizer.bos_token)),
    )


def _call(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": "function", "id": _ID, "function": {"name": "tool", "arguments": arguments}}


def _calls(written: Any, plain: Support, user: Turn) -> Literal["mapping", "text"] | None:
    """Returns the form of a call's arguments: a mapping, unless the template fails on it or prints it as Python."""
    turn = Turn("assistant", "", calls=(_call({"key": _WORD}),))
    as_mapping = written([user, turn], dataclasses.replace(plain, calls="mapping"))
    if _WORD in as_mapping and f"'key': '{_WORD}'" not in as_mapping:
        return "mapping"
    return "text" if _WORD in written([user, turn], dataclasses.replace(plain, calls="text")) else None


def fitted(turns: Sequence[Turn], tokenizer: Tokenizer) -> tuple[Turn, ...]:
    """Returns the turns in a form that the chat template can write.

    Calls become JSON in the content if the template does not read them. Turns of unknown roles become turns of the user
    (tool) or the system (developer). Special tokens that the contents already hold are removed if the template writes
    them too.
    """
    support = support_of(tokenizer)
    end, begin = support.ends.strip(), str(tokenizer.bos_token) if support.begins else ""
    fitting_turns: list[Turn] = []
    for turn in turns:
        if end and turn.role == "assistant" and turn.content.rstrip().endswith(end):
            turn = dataclasses.replace(turn, content=turn.content.rstrip().removesuffix(end))
        if begin and not fitting_turns and turn.content.startswith(begin):
            turn = dataclasses.replace(turn, content=turn.content.removeprefix(begin))
        if turn.calls and support.calls is None:
            turn = dataclasses.replace(turn, content=turn.said, calls=())
        if turn.role == "tool" and not support.tool_turns:
            turn = dataclasses.replace(turn, role="user", keys={})
        if turn.role == "developer" and not support.developer:
            turn = dataclasses.replace(turn, role="system")
        fitting_turns.append(turn)
    return tuple(fitting_turns)


class _Generation(Extension):
    """Support the tag that marks what the assistant says, which templates have besides those of jinja2."""

    tags = frozenset({"generation"})  # type: ignore[assignment]  # jinja2 declares a set and only looks names up

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@functools.lru_cache(maxsize=8)
def _variables(template: str) -> frozenset[str]:
    """Returns the names of the variables that a chat template reads, on any branch."""
    environment = jinja2.Environment(extensions=["jinja2.ext.loopcontrols", _Generation])
    return frozenset(meta.find_undeclared_variables(environment.parse(template)))


def unread(row: Row, tokenizer: Tokenizer) -> list[str]:
    """Returns the names of a row's settings that have a value and that the chat template does not read."""
    settings = {name: value for name, value in row.settings.items() if value is not None}
    if not settings:
        return []
    # A row may bring its own template, and tools may select one of a tokenizer's several templates.
    template = tokenizer.get_chat_template(
        settings.pop("chat_template", None), [dict(tool) for tool in row.tools] or None
    )
    return sorted(settings.keys() - _variables(str(template)))


def counted(row: Row, texts: Sequence[str], tokenizer: Tokenizer | None) -> list[str]:
    """Returns clauses about content of a row that its texts lack or hold in another form.

    Each clause continues "in 3 of 5 rows, ".

    Args:
        row: The row.
        texts: The texts written from it.
        tokenizer: The tokenizer whose chat template wrote them; None without a template.
    """
    if tokenizer is None:
        return _without_template(row, texts)
    support = support_of(tokenizer)
    why = "because the chat template does not read"
    sentences = []
    if row.tools and not support.tools:
        sentences.append(f"the tools are not in the prompt, {why} them")
    (field,) = names_of("settings")
    sentences += [f"'{name}' in '{field}' is not used, {why} it" for name in unread(row, tokenizer)]
    if _has_calls(row) and support.calls is None:
        sentences.append(f"tool calls are written as JSON, {why} them")
    if _loses_thoughts(row, texts):
        sentences.append(f"the assistant's thoughts are not learned, {why} them")
    roles = {turn.role for turn in row.turns}
    for role, known, instead in (
        ("tool", support.tool_turns, "the user's"),
        ("developer", support.developer, "the system's"),
    ):
        if role in roles and not known:
            sentences.append(
                f"turns of the role {role} are written as {instead}, because the chat template does not know it"
            )
    return sentences


def _without_template(row: Row, texts: Sequence[str]) -> list[str]:
    """Returns the clauses of `counted` for a row written without a chat template."""
    why = "because no chat template is used"
    sentences = []
    if row.tools:
        sentences.append(f"the tools are not in the prompt, {why}")
    if row.settings:
        sentences.append(f"the settings of the chat template are not used, {why}")
    if _has_calls(row):
        sentences.append(f"tool calls are written as JSON, {why}")
    if _loses_thoughts(row, texts):
        sentences.append(f"the assistant's thoughts are not learned, {why}")
    return sentences


def _has_calls(row: Row) -> bool:
    return any(turn.calls for turn in row.turns)


def _loses_thoughts(row: Row, texts: Sequence[str]) -> bool:
    """Returns whether no text contains the thought of a learned turn."""
    learned = [turn for turn in row.turns if turn.role == "assistant" and turn.learned]
    thoughts = [thought for turn in learned for thought in (turn.thought.strip(), *_thoughts_in(turn.content))]
    return any(all(thought not in text for text in texts) for thought in thoughts if thought)


def _thoughts_in(content: str) -> list[str]:
    return [thought.strip() for thought in re.findall(r"<think>(.*?)</think>", content, re.DOTALL)]


def rendered(
    tokenizer: Tokenizer,
    turns: Sequence[Turn],
    support: Support,
    *,
    header: bool = False,
    tools: Sequence[Mapping[str, Any]] = (),
    settings: Mapping[str, Any] | None = None,
) -> str:
    """Returns a conversation as the chat template writes it.

    Args:
        tokenizer: The tokenizer.
        turns: The conversation.
        support: What the template supports.
        header: Whether to add the header of an assistant's turn.
        tools: Tools for the template.
        settings: Further arguments of the template.
    """
    messages = [_message(turn, support) for turn in turns]
    given: dict[str, Any] = {**(settings or {}), **({"tools": list(tools)} if tools else {})}
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=header, **given))


def _message(turn: Turn, support: Support) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, **turn.keys}
    message["content"] = [{"type": "text", "text": turn.content}] if support.parts else turn.content
    if turn.thought and support.thoughts is not None:
        message[support.thoughts] = turn.thought
    if turn.calls and support.calls is not None:
        message["tool_calls"] = [_as_wanted(call, support) for call in turn.calls]
    return message


def _as_wanted(call: Mapping[str, Any], support: Support) -> Mapping[str, Any]:
    arguments = call["function"]["arguments"]
    if support.calls == "text" and not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return {**call, "function": {**call["function"], "arguments": arguments}}
