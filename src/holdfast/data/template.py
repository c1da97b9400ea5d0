"""What a tokenizer's chat template reads of a conversation, found by writing small ones, and the writing itself."""

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
_ID = "abcdef123"  # nine letters and digits, which Mistral's templates insist on
_TOOL = {
    "type": "function",
    "function": {"name": _WORD, "description": "", "parameters": {"type": "object", "properties": {}}},
}


@dataclasses.dataclass(frozen=True)
class Reads:
    """What a chat template reads.

    Attributes:
        parts: Whether it loses contents that are strings and writes those that are lists of parts.
        thoughts: The key under which it reads what the assistant thought; None if it reads none.
        calls: How it wants the arguments of a call: as a mapping or as text; None if it does not read calls.
        tools: Whether it writes the tools that it is given.
        tool_turns: Whether it writes a turn of the role tool.
        developer: Whether it writes a turn of the role developer.
        ends: What it writes behind the content of an assistant's turn that is the last.
        begins: Whether what it writes begins with the tokenizer's token that begins a sequence.
    """

    parts: bool = False
    thoughts: str | None = None
    calls: Literal["mapping", "text"] | None = None
    tools: bool = False
    tool_turns: bool = False
    developer: bool = False
    ends: str = ""
    begins: bool = False


def reads(tokenizer: Tokenizer) -> Reads:
    """Returns what the chat template of a tokenizer reads."""
    return _reads(tokenizer, str(tokenizer.chat_template))


@functools.lru_cache(maxsize=8)
def _reads(tokenizer: Tokenizer, template: str) -> Reads:
    del template  # It is here so that another template of the same tokenizer is tried anew.

    def written(turns: Sequence[Turn], found: Reads, **given: Any) -> str:
        try:
            return rendered(tokenizer, turns, found, **given)
        except Exception:
            return ""

    user, said = Turn("user", "Q"), Turn("assistant", "A")
    plain = Reads()
    if _WORD not in written([Turn("user", _WORD)], plain):
        parts = dataclasses.replace(plain, parts=True)
        plain = parts if _WORD in written([Turn("user", _WORD)], parts) else plain
    thinking = Turn("assistant", "A", thought=_WORD)
    thoughts = next(
        (key for key in THOUGHTS if _WORD in written([user, thinking], dataclasses.replace(plain, thoughts=key))), None
    )
    calls = _calls(lambda turns, found: written(turns, found), plain, user)
    found = dataclasses.replace(plain, thoughts=thoughts, calls=calls)
    asked = Turn("assistant", "" if calls else "A", calls=(_call({}),) if calls else ())
    answer = Turn("tool", _WORD, keys={"name": "tool", "tool_call_id": _ID})
    last = written([user, Turn("assistant", _WORD)], found)
    return dataclasses.replace(
        found,
        tools=_WORD in written([user, said], found, tools=(_TOOL,)),
        tool_turns=_WORD in written([user, asked, answer], found),
        developer=_WORD in written([Turn("developer", _WORD), user], found),
        ends=last.rpartition(_WORD)[2] if _WORD in last else "",
        begins=bool(tokenizer.bos_token) and last.startswith(str(tokenizer.bos_token)),
    )


def _call(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": "function", "id": _ID, "function": {"name": "tool", "arguments": arguments}}


def _calls(written: Any, plain: Reads, user: Turn) -> Literal["mapping", "text"] | None:
    """Returns how a template wants the arguments of a call: as the mapping unless it fails on it or writes Python."""
    turn = Turn("assistant", "", calls=(_call({"key": _WORD}),))
    as_mapping = written([user, turn], dataclasses.replace(plain, calls="mapping"))
    if _WORD in as_mapping and f"'key': '{_WORD}'" not in as_mapping:
        return "mapping"
    return "text" if _WORD in written([user, turn], dataclasses.replace(plain, calls="text")) else None


def fitted(turns: Sequence[Turn], tokenizer: Tokenizer) -> tuple[Turn, ...]:
    """Returns the turns as the chat template can write them.

    Calls that it does not read become JSON in the content, and turns of roles that it does not know those of the user
    (tool) and the system (developer). What begins or ends a sequence or turn, and stands in the contents already, is
    taken off where the template writes it too.
    """
    found = reads(tokenizer)
    end, begin = found.ends.strip(), str(tokenizer.bos_token) if found.begins else ""
    made: list[Turn] = []
    for turn in turns:
        if end and turn.role == "assistant" and turn.content.rstrip().endswith(end):
            turn = dataclasses.replace(turn, content=turn.content.rstrip().removesuffix(end))
        if begin and not made and turn.content.startswith(begin):
            turn = dataclasses.replace(turn, content=turn.content.removeprefix(begin))
        if turn.calls and found.calls is None:
            turn = dataclasses.replace(turn, content=turn.said, calls=())
        if turn.role == "tool" and not found.tool_turns:
            turn = dataclasses.replace(turn, role="user", keys={})
        if turn.role == "developer" and not found.developer:
            turn = dataclasses.replace(turn, role="system")
        made.append(turn)
    return tuple(made)


class _Generation(Extension):
    """Reads the tag that marks what the assistant says, which templates have besides those of jinja2."""

    tags = frozenset({"generation"})  # type: ignore[assignment]  # jinja2 declares a set and only looks names up

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@functools.lru_cache(maxsize=8)
def _variables(template: str) -> frozenset[str]:
    """Returns the names that a chat template reads of what it is given, on whatever branch."""
    environment = jinja2.Environment(extensions=["jinja2.ext.loopcontrols", _Generation])
    return frozenset(meta.find_undeclared_variables(environment.parse(template)))


def unread(row: Row, tokenizer: Tokenizer) -> list[str]:
    """Returns the settings of a row that say something and that the chat template does not read, by name."""
    settings = {name: value for name, value in row.settings.items() if value is not None}
    if not settings:
        return []
    # A row may bring its own template, and of several of a tokenizer tools may choose one.
    template = tokenizer.get_chat_template(
        settings.pop("chat_template", None), [dict(tool) for tool in row.tools] or None
    )
    return sorted(settings.keys() - _variables(str(template)))


def counted(row: Row, texts: Sequence[str], tokenizer: Tokenizer | None) -> list[str]:
    """Returns what of a row is not in its texts, or in another form, in words that follow "in 3 of 5 rows, ".

    Args:
        row: The row.
        texts: What was written of it.
        tokenizer: The tokenizer whose chat template wrote it; None where none is used.
    """
    if tokenizer is None:
        return _without_template(row, texts)
    found = reads(tokenizer)
    why = "because the chat template does not read"
    said = []
    if row.tools and not found.tools:
        said.append(f"the tools are not in the prompt, {why} them")
    (field,) = names_of("settings")
    said += [f"'{name}' in '{field}' is not used, {why} it" for name in unread(row, tokenizer)]
    if _has_calls(row) and found.calls is None:
        said.append(f"calls of tools are written as JSON, {why} them")
    if _loses_thoughts(row, texts):
        said.append(f"what the assistant thought is not learned, {why} it")
    roles = {turn.role for turn in row.turns}
    for role, known, instead in (
        ("tool", found.tool_turns, "the user's"),
        ("developer", found.developer, "the system's"),
    ):
        if role in roles and not known:
            said.append(
                f"turns of the role {role} are written as {instead}, because the chat template does not know it"
            )
    return said


def _without_template(row: Row, texts: Sequence[str]) -> list[str]:
    """Returns what is not in the texts of a row that no chat template wrote."""
    why = "because no chat template is used"
    said = []
    if row.tools:
        said.append(f"the tools are not in the prompt, {why}")
    if row.settings:
        said.append(f"the settings of the chat template are not used, {why}")
    if _has_calls(row):
        said.append(f"calls of tools are written as JSON, {why}")
    if _loses_thoughts(row, texts):
        said.append(f"what the assistant thought is not learned, {why}")
    return said


def _has_calls(row: Row) -> bool:
    return any(turn.calls for turn in row.turns)


def _loses_thoughts(row: Row, texts: Sequence[str]) -> bool:
    """Returns whether a thought of a turn that is learned stands in none of the texts."""
    learned = [turn for turn in row.turns if turn.role == "assistant" and turn.learned]
    thoughts = [thought for turn in learned for thought in (turn.thought.strip(), *_thoughts_in(turn.content))]
    return any(all(thought not in text for text in texts) for thought in thoughts if thought)


def _thoughts_in(content: str) -> list[str]:
    return [thought.strip() for thought in re.findall(r"<think>(.*?)</think>", content, re.DOTALL)]


def rendered(
    tokenizer: Tokenizer,
    turns: Sequence[Turn],
    found: Reads,
    *,
    header: bool = False,
    tools: Sequence[Mapping[str, Any]] = (),
    settings: Mapping[str, Any] | None = None,
) -> str:
    """Returns a conversation as the chat template writes it.

    Args:
        tokenizer: The tokenizer.
        turns: The conversation.
        found: What the template reads.
        header: Whether the header of an assistant's turn is written behind it.
        tools: Tools that the template is given.
        settings: Further arguments of the template.
    """
    messages = [_message(turn, found) for turn in turns]
    given: dict[str, Any] = {**(settings or {}), **({"tools": list(tools)} if tools else {})}
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=header, **given))


def _message(turn: Turn, found: Reads) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, **turn.keys}
    message["content"] = [{"type": "text", "text": turn.content}] if found.parts else turn.content
    if turn.thought and found.thoughts is not None:
        message[found.thoughts] = turn.thought
    if turn.calls and found.calls is not None:
        message["tool_calls"] = [_as_wanted(call, found) for call in turn.calls]
    return message


def _as_wanted(call: Mapping[str, Any], found: Reads) -> Mapping[str, Any]:
    arguments = call["function"]["arguments"]
    if found.calls == "text" and not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return {**call, "function": {**call["function"], "arguments": arguments}}
