"""Items: the questions of suites, written as JSON lines.

An item is a question with a check of its answer, a question with choices, or a text whose likelihood is measured.
A question may have both a check and choices. The fields of a record are those of `Item`; `prompt` (a string) may stand
for `messages`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from holdfast.core.errors import HoldfastError, nearest
from holdfast.data.files import records_of
from holdfast.data.rows import ROLES, Row, Turn
from holdfast.probes.checks import check_markers

Split = Literal["watch", "proof"]
WATCH = 0.3
"""Share of the groups whose items are watched (validation); the others are proof (test)."""


@dataclasses.dataclass(frozen=True)
class Item:
    """One question to a model.

    Attributes:
        id: Its name, unique within its suite.
        suite: Name of its suite.
        group: Name that dependent items share (the person that they ask about); the id without one.
        turns: The conversation up to the answer; empty for a text or for choices without a question.
        answer: A right answer, as an example.
        check: What a generated answer must fulfil, by marker (see `holdfast.probes.checks`); empty if not generated.
        choices: Answers to choose from by their likelihood; the first is right. Empty if there is no choice.
        text: A text whose likelihood is measured.
        max_tokens: Most tokens of a generated answer; None for the limit of the asker.
        stop: Strings before which a generated answer ends; None for the usual ones (see `holdfast.probes.stops`).
        tools: Tools that the chat template receives with the conversation, as JSON schemas of functions.
        plain: The prompt that a model without a chat template continues, in place of `turns` and `tools`; None if it
            reads `turns` as well.
        right: Number of right choices, the first ones, if the score is graded: their probability together, from 0 to 1,
            as in TruthfulQA's MC2; None if the likeliest choice is right or wrong.
        ending: Text that follows every choice and is scored in its place, as in WinoGrande's partial evaluation; the
            choices are then beginnings. Empty if the choices themselves are scored.
        raw: Whether every model is asked without its chat template.
    """

    id: str
    suite: str
    group: str = ""
    turns: tuple[Turn, ...] = ()
    answer: str = ""
    check: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    choices: tuple[str, ...] = ()
    text: str | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    plain: str | None = None
    right: int | None = None
    ending: str = ""
    raw: bool = False

    def as_asked(self, by_template: bool) -> Item:
        """Returns the item as a model reads it: with its `plain` prompt as its question where no template is used."""
        if by_template or self.plain is None:
            return self
        return dataclasses.replace(self, turns=(Turn("user", self.plain, False),), tools=(), plain=None)

    @property
    def split(self) -> Split:
        """Returns the side of the item's group, the same in every suite and file."""
        return split_of(self.group or self.id)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields that are set, as plain JSON values."""
        record: dict[str, Any] = {"id": self.id, "suite": self.suite, "group": self.group or self.id}
        if len(self.turns) == 1 and self.turns[0].role == "user":
            record["prompt"] = self.turns[0].content
        elif self.turns:
            record["messages"] = [{"role": turn.role, "content": turn.content} for turn in self.turns]
        for name in ("answer", "check", "choices", "text"):
            if value := getattr(self, name):
                record[name] = list(value) if name == "choices" else value
        return record | self._how()

    def _how(self) -> dict[str, Any]:
        """Returns the fields that say how it is asked, where they are set, as plain JSON values."""
        fields = {
            "max_tokens": self.max_tokens,
            "stop": None if self.stop is None else list(self.stop),
            "tools": [dict(tool) for tool in self.tools] or None,
            "plain": self.plain,
            "right": self.right,
            "ending": self.ending or None,
            "raw": self.raw or None,
        }
        return {name: value for name, value in fields.items() if value is not None}


def split_of(group: str) -> Split:
    """Returns the side of a group: a share `WATCH` of all groups is watched, and no group ever changes sides.

    Only a hash of the group's name decides, so all items about one thing are on the same side in every suite. The
    group of a text is the digest of its content, so the text is on the same side in every file.
    """
    place = int.from_bytes(hashlib.blake2b(group.encode(), digest_size=6).digest(), "big") / 2**48
    return "watch" if place < WATCH else "proof"


_FIELDS = (
    *("id", "suite", "group", "prompt", "messages", "answer", "check", "choices", "text"),
    *("max_tokens", "stop", "tools", "plain", "right", "ending", "raw"),
)
"""Fields of a record of an item."""


def item_of(record: Mapping[str, Any], origin: str) -> Item:
    """Returns the item that a record describes.

    Raises:
        HoldfastError: A field is unknown, missing or malformed; names `origin` and the field.
    """
    try:
        json.dumps(record, ensure_ascii=False, default=str).encode()  # Raises ValueError for half of a surrogate pair.
    except ValueError as error:
        raise HoldfastError(f"{origin}: not valid JSON ({error}); mend or delete that line.") from None
    record = _renamed(record)
    _check_strings(record, origin)
    turns = _asked(record, origin)
    check, choices, text = _check(record, origin), _choices(record, origin), record.get("text")
    if _is_another(str(record.get("answer") or ""), choices, bool(check)):
        raise HoldfastError(
            f"{origin}: field 'answer' is {record['answer']!r}, but the first of the 'choices' counts as right, and"
            f" that is {choices[0]!r}; put the right one first."
        )
    if record.get("ending") and (turns or not choices):
        raise HoldfastError(
            f"{origin}: field 'ending' follows 'choices' without a question; delete it or the question."
        )
    if check and not turns:
        raise HoldfastError(f"{origin}: has a 'check' but no question; give a 'prompt' or 'messages'.")
    if not (check or choices or text):
        raise HoldfastError(f"{origin}: asks nothing; give a 'check', 'choices' or a 'text'.")
    return Item(
        id=record["id"],
        suite=record["suite"],
        group=record.get("group") or record["id"],
        turns=turns,
        answer=record.get("answer", ""),
        check=dict(check),
        choices=tuple(choices),
        text=text,
        right=_right(record, len(choices), origin),
        ending=record.get("ending", ""),
        raw=bool(record.get("raw", False)),
        **_how(record, bool(check), bool(turns), origin),
    )


OTHERWISE = {"question": "prompt", "query": "prompt", "options": "choices"}
"""Names that others give to the fields of an item."""


def _renamed(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a record with the names that fields have here, where it has others and none of that name."""
    others = {name: here for name, here in OTHERWISE.items() if name in record and here not in record}
    return {others.get(name, name): value for name, value in record.items()} if others else record


def _check_strings(record: Mapping[str, Any], origin: str) -> None:
    """Raises `HoldfastError` if a field is unknown, must be a string and is not, or if `id` or `suite` is missing."""
    for name in record:
        if name not in _FIELDS:
            raise HoldfastError(f"{origin}: unknown field '{name}'.{nearest(name, _FIELDS)}")
    for name in ("id", "suite", "group", "prompt", "answer", "text", "plain", "ending"):
        if name in record and not isinstance(record[name], str):
            raise HoldfastError(f"{origin}: field '{name}' is {record[name]!r}, but must be a string.")
    if not record.get("id"):
        raise HoldfastError(f"{origin}: field 'id' is missing; give every item a name of its own.")
    if not record.get("suite"):
        raise HoldfastError(f"{origin}: field 'suite' is missing; name the suite that the item belongs to.")


def _asked(record: Mapping[str, Any], origin: str) -> tuple[Turn, ...]:
    """Returns the conversation of an item up to the answer; empty if it has none."""
    if "prompt" in record and "messages" in record:
        raise HoldfastError(f"{origin}: gives both 'prompt' and 'messages'; keep one.")
    if "prompt" in record:
        return (Turn("user", record["prompt"], False),)
    return _turns(record.get("messages", []), origin)


def _check(record: Mapping[str, Any], origin: str) -> Mapping[str, Any]:
    """Returns the markers that the answer to an item must fulfil; empty if it has none."""
    check = record.get("check", {})
    if not isinstance(check, Mapping):
        raise HoldfastError(f"{origin}: field 'check' is {check!r}, but must be an object of markers.")
    check_markers(check, origin)
    return check


def _choices(record: Mapping[str, Any], origin: str) -> list[str]:
    """Returns the choices of an item, the right one first; empty if it has none."""
    choices = record.get("choices", [])
    if not isinstance(choices, list) or not _are_strings(choices):
        raise HoldfastError(f"{origin}: field 'choices' must be a list of strings, the right one first.")
    if choices and (len(choices) < 2 or len(set(choices)) < len(choices)):
        raise HoldfastError(f"{origin}: field 'choices' must hold at least two strings that differ.")
    return choices


def _how(record: Mapping[str, Any], checked: bool, has_turns: bool, origin: str) -> dict[str, Any]:
    """Returns the fields that say how an item is asked: `max_tokens`, `stop`, `tools` and `plain`.

    Raises:
        HoldfastError: A field is malformed, or has no effect on this item.
    """
    given = [name for name in ("max_tokens", "stop", "tools", "plain") if record.get(name) is not None]
    for name in given:
        about_question = name in ("tools", "plain")
        if not (has_turns if about_question else checked):
            lack = "question" if about_question else "'check', so no answer is generated"
            raise HoldfastError(f"{origin}: field '{name}' has no effect: the item has no {lack}; delete it.")
    read: dict[str, Callable[[Any, str], Any]] = {
        "max_tokens": _max_tokens,
        "stop": _stop,
        "tools": _tools,
        "plain": _plain,
    }
    return {name: read[name](record[name], origin) for name in given}


def _right(record: Mapping[str, Any], choices: int, origin: str) -> int | None:
    """Returns how many of the choices are right, the first ones, if their score is graded."""
    right = record.get("right")
    if right is None:
        return None
    if isinstance(right, bool) or not isinstance(right, int) or not 0 < right < choices:
        raise HoldfastError(
            f"{origin}: field 'right' is {right!r}, but must be the number of right choices, less than all of them."
        )
    return right


def _max_tokens(most: Any, origin: str) -> int:
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise HoldfastError(f"{origin}: field 'max_tokens' is {most!r}, but must be a whole number from 1.")
    return most


def _stop(stop: Any, origin: str) -> tuple[str, ...]:
    strings = [stop] if isinstance(stop, str) else stop
    if not isinstance(strings, list) or not _are_strings(strings):
        raise HoldfastError(f"{origin}: field 'stop' is {stop!r}, but must be a string or a list of strings.")
    return tuple(strings)


def _tools(tools: Any, origin: str) -> tuple[dict[str, Any], ...]:
    if not isinstance(tools, list) or not all(isinstance(tool, Mapping) and tool for tool in tools):
        raise HoldfastError(f"{origin}: field 'tools' must be a list of JSON schemas of functions.")
    return tuple(dict(tool) for tool in tools)


def _plain(plain: str, origin: str) -> str:
    if not plain.strip():
        raise HoldfastError(f"{origin}: field 'plain' is blank; write the prompt that is to be continued.")
    return plain


def _are_strings(values: Sequence[Any]) -> bool:
    """Returns whether all values are non-empty strings."""
    return all(isinstance(value, str) and value for value in values)


def _is_another(answer: str, choices: Sequence[str], checked: bool) -> bool:
    """Returns whether an answer is the text, letter or number of a choice other than the first."""
    given, texts = answer.strip().casefold(), [choice.strip().casefold() for choice in choices]
    if not given or not texts or given == texts[0]:
        return False
    by_place = re.fullmatch(r"\(?([a-z]|\d)\)?\.?", given)
    return given in texts[1:] or bool(not checked and by_place and by_place[1] not in ("a", "0"))


def _turns(messages: Any, origin: str) -> tuple[Turn, ...]:
    if not isinstance(messages, list):
        raise HoldfastError(f"{origin}: field 'messages' must be a list of messages with role and content.")
    turns = []
    for i, message in enumerate(messages):
        if not (isinstance(message, Mapping) and isinstance(message.get("content"), str)):
            raise HoldfastError(f"{origin}: field 'messages[{i}]' must hold a role and a content.")
        if message.get("role") not in ROLES:
            raise HoldfastError(
                f"{origin}: field 'messages[{i}].role' is {message.get('role')!r}; use one of {', '.join(ROLES)}."
            )
        turns.append(Turn(message["role"], message["content"], False))
    if turns and turns[-1].role == "assistant":
        raise HoldfastError(f"{origin}: the last message is the assistant's; leave out the answer.")
    return tuple(turns)


def read_items(path: str | os.PathLike[str]) -> list[Item]:
    """Returns the items of a JSON file: one per line, or a list.

    Raises:
        HoldfastError: The file does not exist, a record is not an item, or an id occurs twice; names line and field.
    """
    items, seen = [], dict[tuple[str, str], str]()
    for origin, record in records_of(Path(path), Path(path).name):
        if not isinstance(record, dict):
            raise HoldfastError(f"{origin}: every line must be a JSON object.")
        item = item_of(record, origin)
        if (before := seen.setdefault((item.suite, item.id), origin)) != origin:
            line = before.rpartition(":")[2]
            raise HoldfastError(f"{origin}: line {line} has the id '{item.id}' too; give each its own.")
        items.append(item)
    if not items:
        raise HoldfastError(f"{path}: holds no items; give at least one.")
    return items


def row_of(item: Item) -> Row:
    """Returns an item as a row to score: its question with its answer, its text, or the right choice.

    Raises:
        HoldfastError: The item has a question and no answer; names the item.
    """
    if item.turns and not (item.answer or item.choices):
        raise HoldfastError(f"{item.suite}/{item.id}: has no 'answer' to score; give one.")
    if item.turns:
        turns = (*item.turns, Turn("assistant", item.answer or item.choices[0]))
        return Row(turns=turns, origin=item.id, tools=item.tools)
    return Row(text=item.text or item.choices[0], origin=item.id)
