"""Turns of a conversation from the messages that many tools write; every error names row and field."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from holdfast.core.errors import HoldfastError, nearest
from holdfast.data.fields import (
    ANSWERED,
    ASKED,
    CALLING_ROLES,
    LEARNED_WHERE_FALSE,
    LEARNED_WHERE_TRUE,
    PARTLY_LEARNED,
    PASSED_ON,
    ROLE_NAMES,
    THOUGHTS,
    flag_of,
    is_empty,
)
from holdfast.data.rows import ROLES, Turn
from holdfast.data.source_notes import SourceNotes

_ROLE_KEYS, _CONTENT_KEYS = ("role", "from"), ("content", "value")
_CALL_KEYS = ("tool_calls", "function_call")
_FLAGS = (*LEARNED_WHERE_TRUE, *LEARNED_WHERE_FALSE)
_KNOWN = {*_ROLE_KEYS, *_CONTENT_KEYS, *_CALL_KEYS, *_FLAGS, *THOUGHTS, *PASSED_ON, PARTLY_LEARNED, "refusal"}


def turns_from(messages: Any, field: str, origin: str, seen: SourceNotes) -> tuple[Turn, ...]:
    """Returns the turns of a list of messages, also if a text holds the list as JSON.

    Raises:
        HoldfastError: The value is not a list, is empty, or holds something other than messages; names row, field and
            message.
    """
    messages = parsed(messages, field, seen)
    if not is_list(messages):
        raise HoldfastError(
            f"{origin}: field '{field}' is {called(messages)}, but must be a list of messages with role and content."
        )
    if len(messages) == 0:
        raise HoldfastError(f"{origin}: field '{field}' is an empty list; give at least one message or delete the row.")
    turns: list[Turn] = []
    for i, message in enumerate(messages):
        for turn in _of_message(message, f"{field}[{i}]", origin, seen):
            if turns and turn.calls and not turn.content and not turn.thought and _only_calls(turns[-1]):
                turns[-1] = dataclasses.replace(turns[-1], calls=(*turns[-1].calls, *turn.calls))
            else:
                turns.append(turn)
    return tuple(turns)


def _only_calls(turn: Turn) -> bool:
    return bool(turn.calls) and not turn.content


def parsed(value: Any, field: str, seen: SourceNotes) -> Any:
    """Returns the list or mapping that a text holds as JSON (or as a Python literal), else the value itself."""
    value_in_text = _in_text(value)
    if value_in_text is not value:
        seen.say(f"'{field}' holds text that is read as JSON")
    return value_in_text


def as_messages(value: Any, field: str, seen: SourceNotes) -> Any:
    """Returns the messages that a text holds as JSON; the value itself if it holds none."""
    return parsed(value, field, seen) if looks_like_messages(_in_text(value)) else value


def _in_text(value: Any) -> Any:
    if not (isinstance(value, str) and value.lstrip()[:1] in ("[", "{")):
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            literal = read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(literal, (list, dict)):
            return literal
    return value


def looks_like_messages(value: Any) -> bool:
    """Returns whether a value is a list of mappings with roles."""
    return (
        is_list(value)
        and len(value) > 0
        and all(isinstance(message, Mapping) and any(key in message for key in _ROLE_KEYS) for message in value)
    )


def _of_message(message: Any, field: str, origin: str, seen: SourceNotes) -> Iterator[Turn]:
    if isinstance(message, Mapping) and not any(message.get(key) is not None for key in _ROLE_KEYS):
        asked, answered = (_given(message, keys) for keys in (ASKED, ANSWERED))
        if len(asked) == len(answered) == 1:  # a question with its answer, as in ms-swift's conversations
            for role, key in (("user", asked[0]), ("assistant", answered[0])):
                learned = role == "user" or _learned(message, field, origin)
                yield Turn(role, string(message[key], f"{field}.{key}", origin), learned)
            _note_unknown(message, {*ASKED, *ANSWERED, *_FLAGS}, seen)
            return
        message = _with_role(message)
    yield _turn(message, field, origin, seen)


def _with_role(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns `{"user": "..."}` as a message with role and content, and any other message unchanged."""
    filled = {key: value for key, value in message.items() if key not in _FLAGS and not is_empty(value)}
    if len(filled) == 1 and (key := next(iter(filled))) in ROLE_NAMES and isinstance(filled[key], str):
        flags = {flag: message[flag] for flag in _FLAGS if flag in message}
        return {"role": key, "content": filled[key], **flags}
    return message


def _given(message: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """Returns the keys that a message has; if there are several, only those with a value."""
    given = [key for key in keys if message.get(key) is not None]
    return given if len(given) < 2 else [key for key in given if not is_empty(message[key])]


def _turn(message: Any, field: str, origin: str, seen: SourceNotes) -> Turn:
    if not isinstance(message, Mapping):
        raise HoldfastError(f"{origin}: field '{field}' is {called(message)}, but must hold role and content.")
    key, role = _role_of(message, field, origin)
    content_key = "value" if message.get("content") is None and message.get("value") is not None else "content"
    content, thought, calls = _content(message, field, content_key, role, origin)
    if key in CALLING_ROLES:
        calls_in_text = _calls_in(content, f"{field}.{content_key}", origin)
        content, calls = ("", (*calls_in_text, *calls)) if calls_in_text else (content, calls)
    learned = _learned(message, field, origin)
    if role != "assistant" and learned and any(flag_of(message.get(key)) for key in LEARNED_WHERE_TRUE):
        seen.say("a turn of another role is marked as learned, but only the assistant's turns are")
    _note_unknown(message, _KNOWN, seen)
    keys = {name: str(message[name]) for name in PASSED_ON if isinstance(message.get(name), str)}
    return Turn(role, content, learned, thought, calls, keys)


def _role_of(message: Mapping[str, Any], field: str, origin: str) -> tuple[str, str]:
    """Returns the name of a message's role, spelled as in `ROLE_NAMES`, and the role."""
    role_key = "from" if message.get("role") is None and message.get("from") is not None else "role"
    if role_key not in message:
        raise HoldfastError(f"{origin}: field '{field}.{role_key}' is missing; every message needs role and content.")
    named = string(message[role_key], f"{field}.{role_key}", origin)
    key = named.strip().lower().replace("-", "_").replace(" ", "_")
    role = ROLE_NAMES.get(key)
    if role is None:
        raise HoldfastError(
            f"{origin}: field '{field}.{role_key}' is '{named}', which is not a role; use one of {', '.join(ROLES)}."
            + nearest(named, ROLE_NAMES)
        )
    return key, role


def _content(
    message: Mapping[str, Any], field: str, key: str, role: str, origin: str
) -> tuple[str, str, tuple[Mapping[str, Any], ...]]:
    """Returns the content of a message, the thought before it, and the calls in it."""
    calls = tuple(
        call
        for name in _CALL_KEYS
        if not is_empty(message.get(name))
        for call in _calls(message[name], f"{field}.{name}", origin)
    )
    thoughts = [
        string(message[name], f"{field}.{name}", origin) for name in THOUGHTS if not is_empty(message.get(name))
    ]
    content = _written(message, field, key, bool(calls or thoughts), origin)
    if role == "tool" and (isinstance(content, Mapping) or (is_list(content) and not _are_parts(content))):
        content = json.dumps(content, ensure_ascii=False)
    if is_list(content):
        content, more_thoughts = _joined(content, f"{field}.{key}", origin)
        thoughts += more_thoughts
    return string(content, f"{field}.{key}", origin), "\n".join(thoughts[:1] or ()), calls


def _joined(content: Sequence[Any], field: str, origin: str) -> tuple[str, list[str]]:
    """Returns the joined text of the parts of a content, and their thoughts."""
    parts = [_part(part, f"{field}[{i}]", origin) for i, part in enumerate(content)]
    return "".join(text for text, _ in parts), [thought for _, thought in parts if thought]


def _written(message: Mapping[str, Any], field: str, key: str, may_be_empty: bool, origin: str) -> Any:
    """Returns the content of a message as it is, or the refusal in its place."""
    content = message.get(key)
    if content is None and isinstance(message.get("refusal"), str):
        content = message["refusal"]
    if content is None and may_be_empty:
        content = ""
    if key not in message and content is None:
        raise HoldfastError(f"{origin}: field '{field}.{key}' is missing; every message needs role and content.")
    return content


def _are_parts(content: Sequence[Any]) -> bool:
    return any(isinstance(part, Mapping) and "type" in part for part in content)


def _part(part: Any, field: str, origin: str) -> tuple[str, str]:
    """Returns the text of a part of a content, and its thought."""
    if isinstance(part, str):
        return string(part, field, origin), ""
    if isinstance(part, Mapping):
        kind = part.get("type", "text")
        if kind == "text" and "text" in part:
            return string(part["text"], f"{field}.text", origin), ""
        if kind in ("thinking", "reasoning"):
            thought = next((part[name] for name in ("thinking", "reasoning", "text") if name in part), None)
            if is_list(thought):
                thought = "".join(_part(piece, f"{field}.{kind}[{i}]", origin)[0] for i, piece in enumerate(thought))
            return "", string(thought, f"{field}.{kind}", origin)
    raise HoldfastError(f"{origin}: field '{field}' is not a text part; only text can be trained on.")


def _learned(message: Mapping[str, Any], field: str, origin: str) -> bool:
    """Returns whether a message is learned, according to its own flags."""
    learned = True
    if not is_empty(message.get(PARTLY_LEARNED)):
        raise HoldfastError(
            f"{origin}: field '{field}.{PARTLY_LEARNED}' marks parts of a turn, which is learned whole or not at all; "
            "give 'train' for the turn, or 'segments' of texts."
        )
    for key in _FLAGS:
        value = message.get(key)
        if is_empty(value):
            continue
        says = flag_of(value)
        if says is None:
            raise HoldfastError(f"{origin}: field '{field}.{key}' is {value!r}, but must be 0 or 1.")
        learned = learned and says == (key in LEARNED_WHERE_TRUE)
    return learned


def _note_unknown(message: Mapping[str, Any], known: set[str], seen: SourceNotes) -> None:
    for key, value in message.items():
        if key not in known and not is_empty(value):
            seen.unused(f"{key} of a message")


def _calls_in(content: str, field: str, origin: str) -> tuple[Mapping[str, Any], ...]:
    """Returns the tool calls that a text holds as JSON; nothing for any other text, which then stays the content."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return ()
    listed = value if isinstance(value, list) else [value]
    if not listed or not all(isinstance(call, Mapping) and ("name" in call or "function" in call) for call in listed):
        return ()
    return _calls(listed, field, origin)


def _calls(value: Any, field: str, origin: str) -> tuple[Mapping[str, Any], ...]:
    if isinstance(value, str):
        value = _json(value, field, origin)
    listed = value if is_list(value) else [value]
    return tuple(_call(call, f"{field}[{i}]" if is_list(value) else field, origin) for i, call in enumerate(listed))


def _call(value: Any, field: str, origin: str) -> Mapping[str, Any]:
    if isinstance(value, str):
        value = _json(value, field, origin)
    function = value.get("function", value) if isinstance(value, Mapping) else None
    if isinstance(function, str) and isinstance(value, Mapping):  # {"function": "name", "arguments": ...}
        function = {**value, "name": function}
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise HoldfastError(
            f'{origin}: field \'{field}\' is not a tool call; give {{"function": {{"name": ..., "arguments": ...}}}}.'
        )
    given = function.get("arguments", function.get("parameters"))
    if isinstance(given, str):
        with contextlib.suppress(ValueError, RecursionError):  # the template receives any other text unchanged
            given = json.loads(given) if given.strip() else {}
    about = {"id": value["id"]} if isinstance(value.get("id"), str) else {}
    return {
        "type": "function",
        **about,
        "function": {"name": function["name"], "arguments": {} if given is None else given},
    }


def tools_from(value: Any, field: str, origin: str) -> tuple[Mapping[str, Any], ...]:
    """Returns the tools of a row, each as `{"type": "function", "function": {...}}`, also if a text holds them as JSON.

    Raises:
        HoldfastError: The tools are not a list of mappings; names row and field.
    """
    if isinstance(value, str) and value.strip():
        value = _json(value, field, origin)
    if is_empty(value) or (isinstance(value, str) and not value.strip()):
        return ()
    listed = value if is_list(value) else [value]
    tools: list[Mapping[str, Any]] = []
    for i, entry in enumerate(listed):
        tool = _json(entry, f"{field}[{i}]", origin) if isinstance(entry, str) else entry
        if not isinstance(tool, Mapping):
            raise HoldfastError(
                f"{origin}: field '{field}[{i}]' is {called(tool)}, but must be the schema of a tool "
                '({"type": "function", "function": {"name": ...}}).'
            )
        tools.append(
            {"type": "function", "function": dict(tool)} if "function" not in tool and "name" in tool else tool
        )
    return tuple(tools)


def _json(text: str, field: str, origin: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HoldfastError(f"{origin}: field '{field}' is a text that is not valid JSON ({error}); mend it.") from None


def string(value: Any, field: str, origin: str) -> str:
    """Returns a text that can be tokenised.

    Raises:
        HoldfastError: The value is not a text, or holds half of a surrogate pair; names row and field.
    """
    if not isinstance(value, str):
        raise HoldfastError(
            f"{origin}: field '{field}' is {called(value)}, but must be a string; mend or delete that row."
        )
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise HoldfastError(
                f"{origin}: field '{field}' holds half of a surrogate pair (\\u{ord(value[error.start]):04x} at "
                f"character {error.start}), which no tokenizer can read; mend or delete that row."
            ) from None
    return value


def is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    """Returns whether a value is a sequence other than text."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def called(value: Any) -> str:
    """Returns the kind of a value in words."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "a mapping"
    names = {str: "a string", bool: "true or false", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), f"of type {type(value).__name__}")
