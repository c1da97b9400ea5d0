"""Recognises what a mapping of columns means, and turns it into a `Row`; every complaint names row and field."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from holdfast.core.errors import HoldfastError, nearest
from holdfast.data.rows import ROLES, Row, Turn

PROMPTS = ("prompt", "question", "query")
COMPLETIONS = ("completion", "response", "answer", "output")
INPUTS = ("input", "context")
ACCEPTED = (
    "'messages', 'conversations', 'prompt' (or 'question', 'query') with 'completion' (or 'response', 'answer', "
    "'output'), 'instruction' with 'output', or 'text'"
)
"""The columns that are understood, in words."""

_ROLE_NAMES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "observation": "tool",
    "function": "tool",
    **{role: role for role in ROLES},
}


@dataclasses.dataclass(frozen=True)
class Format:
    """The columns that the rows of one source are read from.

    Attributes:
        needed: Columns that every row must have: one (messages or text) or two (prompt, completion).
        conversation: Whether the one needed column is a list of messages.
        instruction: Whether an `input` or `context` column is appended to the prompt.
    """

    needed: tuple[str, ...]
    conversation: bool = False
    instruction: bool = False


def recognise(columns: Iterable[str], origin: str) -> Format:
    """Returns the format that `columns` are of; other columns than those of the format are not looked at.

    Where the columns fit several formats the first in this order is taken: conversations, instructions, prompts with
    completions, documents.

    Args:
        columns: Names of the columns of the first row.
        origin: Where that row was read.

    Raises:
        HoldfastError: If no format fits, listing the columns found and those accepted.
    """
    names = list(columns)
    for name in ("messages", "conversations"):
        if name in names:
            return Format((name,), conversation=True)
    completion = next((name for name in COMPLETIONS if name in names), None)
    if completion is not None and "instruction" in names:
        return Format(("instruction", completion), instruction=True)
    prompt = next((name for name in PROMPTS if name in names), None)
    if completion is not None and prompt is not None:
        return Format((prompt, completion))
    if "text" in names:
        return Format(("text",))
    found = ", ".join(repr(name) for name in names) or "none"
    known = ("messages", "conversations", *PROMPTS, *COMPLETIONS, "instruction", "text")
    hint = next((hint for name in names if name not in known and (hint := nearest(name, known))), "")
    raise HoldfastError(f"{origin}: the columns found ({found}) are none of those accepted: {ACCEPTED}.{hint}")


def rows_of(records: Iterable[tuple[str, Any]], label: str) -> list[Row]:
    """Returns the rows of one source, all in the format of its first.

    Args:
        records: Pairs of origin ("facts.jsonl:7") and what was read there.
        label: What the source is called in messages.

    Raises:
        HoldfastError: If there are no records or one of them is malformed.
    """
    form: Format | None = None
    rows = []
    for origin, record in records:
        if not isinstance(record, Mapping):
            raise HoldfastError(f"{origin}: is {_called(record)}, but every row must be a mapping of named fields.")
        form = form or recognise((str(name) for name in record), origin)
        rows.append(_row(record, form, origin))
    if not rows:
        raise HoldfastError(f"{label}: holds no rows; give at least one.")
    return rows


def _row(record: Mapping[str, Any], form: Format, origin: str) -> Row:
    for name in form.needed:
        if name not in record:
            fields = ", ".join(form.needed)
            raise HoldfastError(
                f"{origin}: field '{name}' is missing; every row needs the fields of the first one ({fields})."
            )
    system = _optional(record, "system", origin) if form.needed != ("text",) else ""
    before = (Turn("system", system, False),) if system else ()
    first = record[form.needed[0]]
    if form.conversation:
        return Row(turns=(*before, *_turns(first, form.needed[0], origin)), origin=origin)
    if form.needed == ("text",):
        return Row(text=_string(first, "text", origin), origin=origin)
    last = record[form.needed[1]]
    if _is_list(first) or _is_list(last):
        return Row(turns=(*before, *_prompt_and_completion(first, last, form.needed, origin)), origin=origin)
    prompt, completion = (_string(record[name], name, origin) for name in form.needed)
    if form.instruction:
        for name in INPUTS:
            extra = _optional(record, name, origin)
            prompt = f"{prompt}\n\n{extra}" if extra.strip() else prompt
    if system:
        return Row(turns=(*before, Turn("user", prompt), Turn("assistant", completion)), origin=origin)
    joint = "" if form.needed == ("prompt", "completion") else "\n"
    return Row(prompt=prompt, completion=completion, joint=joint, origin=origin)


def _prompt_and_completion(first: Any, last: Any, names: Sequence[str], origin: str) -> tuple[Turn, ...]:
    if not (_is_list(first) and _is_list(last)):
        raise HoldfastError(
            f"{origin}: field '{names[0]}' is {_called(first)} but '{names[1]}' is {_called(last)}; give both as "
            "strings or both as lists of messages."
        )
    context = (dataclasses.replace(turn, learned=False) for turn in _turns(first, names[0], origin))
    return (*context, *_turns(last, names[1], origin))


def _turns(messages: Any, field: str, origin: str) -> tuple[Turn, ...]:
    if not _is_list(messages):
        raise HoldfastError(
            f"{origin}: field '{field}' is {_called(messages)}, but must be a list of messages with role and content."
        )
    if len(messages) == 0:
        raise HoldfastError(f"{origin}: field '{field}' is an empty list; give at least one message or delete the row.")
    return tuple(_turn(message, f"{field}[{i}]", origin) for i, message in enumerate(messages))


def _turn(message: Any, field: str, origin: str) -> Turn:
    if not isinstance(message, Mapping):
        raise HoldfastError(f"{origin}: field '{field}' is {_called(message)}, but must hold role and content.")
    role_key = "from" if message.get("role") is None and message.get("from") is not None else "role"
    content_key = "value" if message.get("content") is None and message.get("value") is not None else "content"
    for key in (role_key, content_key):
        if key not in message:
            raise HoldfastError(f"{origin}: field '{field}.{key}' is missing; every message needs role and content.")
    role = _string(message[role_key], f"{field}.{role_key}", origin)
    if role.lower() not in _ROLE_NAMES:
        raise HoldfastError(
            f"{origin}: field '{field}.{role_key}' is '{role}', which is no role; use one of {', '.join(ROLES)}."
            + nearest(role, _ROLE_NAMES)
        )
    if message.get("tool_calls"):
        raise HoldfastError(
            f"{origin}: field '{field}.tool_calls' is not understood; write the call into the content as text."
        )
    content = message[content_key]
    if _is_list(content):
        parts = (_part(part, f"{field}.{content_key}[{i}]", origin) for i, part in enumerate(content))
        content = "".join(parts)
    weight = message.get("weight")
    if weight is not None and weight not in (0, 1):
        raise HoldfastError(f"{origin}: field '{field}.weight' is {weight!r}, but must be 0 or 1.")
    learned = weight is None or bool(weight)
    return Turn(_ROLE_NAMES[role.lower()], _string(content, f"{field}.{content_key}", origin), learned)


def _part(part: Any, field: str, origin: str) -> str:
    if isinstance(part, Mapping) and part.get("type", "text") == "text" and "text" in part:
        return _string(part["text"], f"{field}.text", origin)
    raise HoldfastError(f"{origin}: field '{field}' is no text part; only text can be trained on.")


def _optional(record: Mapping[str, Any], name: str, origin: str) -> str:
    value = record.get(name)
    return "" if value is None else _string(value, name, origin)


def _string(value: Any, field: str, origin: str) -> str:
    if not isinstance(value, str):
        raise HoldfastError(
            f"{origin}: field '{field}' is {_called(value)}, but must be a string; mend or delete that row."
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


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _called(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "a mapping"
    names = {str: "a string", bool: "true or false", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), f"of type {type(value).__name__}")
