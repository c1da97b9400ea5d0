"""Recognises the format of a row from its columns and converts it to a `Row`; every error names row and field."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from holdfast.core.errors import HoldfastError, nearest
from holdfast.data import preference as preferences
from holdfast.data.context import context_from
from holdfast.data.fields import Part, all_names, column, flag_of, is_empty, names_of
from holdfast.data.messages import (
    as_messages,
    called,
    is_list,
    looks_like_messages,
    string,
    turns_from,
)
from holdfast.data.preference import Preference
from holdfast.data.rows import Row, Turn
from holdfast.data.source_notes import SourceNotes

ACCEPTED = (
    "'messages', 'conversations', 'prompt' (or 'question', 'query', 'inputs', 'input') with 'completion' (or "
    "'response', 'answer', 'output', 'targets'), 'instruction' with 'output', or 'text'"
)
"""The accepted columns, in words."""


@dataclasses.dataclass(frozen=True)
class Format:
    """The columns of the rows of one source.

    Attributes:
        called: The format in words.
        needed: Columns that every row must have: one (messages or text) or two (prompt, completion).
        conversation: Whether the needed column is a list of messages.
        pairs: Whether the rows are preferences, whose answer has its own column.
    """

    called: str
    needed: tuple[str, ...]
    conversation: bool = False
    pairs: bool = False


def recognise(columns: Iterable[str], origin: str, *, pairs: bool = False) -> Format:
    """Returns the format of `columns`.

    If the columns fit several formats, the first in this order counts: conversations, instructions, prompts with
    completions, documents.

    Args:
        columns: Names of the columns of the first row.
        origin: Where that row was read.
        pairs: Whether the rows are preferences, which need no completion.

    Raises:
        HoldfastError: No format fits; the message lists the columns and those that are accepted.
    """
    names = list(columns)
    name = column(names, "conversation")
    if name is not None:
        return Format(f"conversations ('{name}')", (name,), conversation=True, pairs=pairs)
    completion = column(names, "completion")
    if (form := _asking(names, completion, pairs)) is not None:
        return form
    if pairs:
        return Format("preferences", (), pairs=True)
    if (name := column(names, "segments")) is not None:
        return Format(f"segments of text ('{name}')", (name,))
    if (name := column(names, "text")) is not None:
        return Format(f"documents ('{name}')", (name,))
    if completion is not None and "input" in names:  # with an instruction or a prompt, `input` is a part of it
        return Format(f"prompts ('input') with completions ('{completion}')", ("input", completion))
    if "completion" in names:
        if typo := next((name for name in names if name != "completion" and nearest(name, ("prompt",))), None):
            raise HoldfastError(
                f"{origin}: the column {typo!r} is not read, and 'completion' has no prompt."
                f"{nearest(typo, ('prompt',))}"
            )
        return Format("documents ('completion', without a prompt)", ("completion",))
    raise _unaccepted(names, origin)


def _asking(names: Sequence[str], completion: str | None, pairs: bool) -> Format | None:
    """Returns the format of columns with an instruction or a prompt and its answer; None for other columns."""
    asking: tuple[Part, ...] = ("instruction", "prompt")
    for part in asking:
        given = column(names, part)
        if given is None:
            continue
        if completion is not None:
            what = "instructions" if part == "instruction" else "prompts"
            return Format(f"{what} ('{given}') with completions ('{completion}')", (given, completion), pairs=pairs)
        if pairs:
            return Format(f"prompts ('{given}') with preferences", (given,), pairs=True)
    return None


def _unaccepted(names: Sequence[str], origin: str) -> HoldfastError:
    """Returns the error for columns that fit no format."""
    columns = ", ".join(repr(name) for name in names) or "none"
    if (name := column(names, "tokens")) is not None:
        return HoldfastError(f"{origin}: holds tokens ('{name}') and no text; give the texts of these tokens.")
    known = [name for name in all_names() if not name.startswith("_")]
    hint = next((hint for name in names if name not in known and (hint := nearest(name, known))), "")
    return HoldfastError(f"{origin}: the columns ({columns}) fit no accepted format: {ACCEPTED}.{hint}")


def rows_of(
    records: Iterable[tuple[str, Any]],
    label: str,
    *,
    preference: Preference = "refuse",
    notes: list[str] | None = None,
) -> list[Row]:
    """Returns the rows of one source, all in the format of its first row.

    Args:
        records: Pairs of origin ("facts.jsonl:7") and record.
        label: Name of the source in messages.
        preference: Whether rows with a chosen and a rejected answer are refused, or the chosen one is learned.
        notes: Receives sentences: the format of the source, and its unused fields.

    Raises:
        HoldfastError: There are no records, or one of them is malformed.
    """
    listed = [(origin, _as_mapping(record, origin)) for origin, record in records]
    if not listed:
        raise HoldfastError(f"{label}: holds no rows; give at least one.")
    origin, first = listed[0]
    pairs = preferences.is_preference(first)
    if pairs:
        preferences.check(first, preference, origin)
    given = [name for name, value in first.items() if value is not None]
    try:
        form = recognise(given, origin, pairs=pairs)
    except HoldfastError:
        form = recognise(first, origin, pairs=pairs)
    seen = SourceNotes(label)
    seen.form = form.called
    wanted = None if pairs or form.needed == ("text",) else preferences.labels_of(listed)
    reader = _Reader(form, preference, wanted, seen)
    rows = [row for origin, record in listed if (row := reader.row(record, origin)) is not None]
    if notes is not None:
        notes += seen.sentences()
    if not rows:
        raise HoldfastError(f"{label}: has no row to learn: {reader.left_out}; give rows to learn.")
    return rows


def _as_mapping(record: Any, origin: str) -> dict[str, Any]:
    if looks_like_messages(record):
        return {"messages": record}
    if not isinstance(record, Mapping):
        raise HoldfastError(f"{origin}: is {called(record)}, but every row must be a mapping of named fields.")
    return {str(name): value for name, value in record.items()}


class _Reader:
    """Reads the rows of one source, and counts dropped fields and assumptions."""

    def __init__(self, form: Format, preference: Preference, label: str | None, seen: SourceNotes) -> None:
        self.form, self.preference, self.label, self.seen = form, preference, label, seen
        self.left_out = ""
        self.used: set[str] = set()

    def row(self, record: dict[str, Any], origin: str) -> Row | None:
        """Returns a row, or None if it is not learned."""
        self.seen.begin()
        if not self.form.pairs and preferences.is_preference(record):
            preferences.check(record, self.preference, origin)
        self._refuse_media(record, origin)
        self.used = {*self.form.needed}
        keep = self._is_kept(record, origin)
        result = self._pair(record, origin) if self.form.pairs else self._row(record, origin)
        for name, value in record.items():
            if name not in self.used and not is_empty(value):
                self.seen.unused(name)
        return result if keep else None

    def _is_kept(self, record: Mapping[str, Any], origin: str) -> bool:
        if self.label is not None:
            self.used.add(self.label)
            if flag_of(record.get(self.label)) is False:
                self.left_out = f"'{self.label}' is false in all of them"
                self.seen.say(f"'{self.label}' is false: the answer is not desired, and the row is left out")
                return False
        if self.form.needed == ("_prompt", "_response") and _is_undesired(record.get("_response")):
            self.left_out = "no answer in '_response' is desired"
            self.seen.say("the answer in '_response' is not desired, and the row is left out")
            return False
        for name in names_of("weight"):
            weight = _number(record.get(name))
            if weight is None:
                continue
            if weight < 0:
                raise HoldfastError(
                    f"{origin}: field '{name}' is {weight:g}, which asks to unlearn the row; delete such rows."
                )
            if weight in (0, 1):
                self.used.add(name)
            if weight == 0:
                self.left_out = f"'{name}' is 0 in all of them"
                self.seen.say(f"'{name}' is 0, and the row is left out")
                return False
        return True

    def _refuse_media(self, record: Mapping[str, Any], origin: str) -> None:
        if self.form.needed == ("text",):
            return
        for name in names_of("media"):
            if not is_empty(record.get(name)):
                raise HoldfastError(
                    f"{origin}: field '{name}' holds something other than text, and only text can be learned; delete "
                    "the rows that need it, or the field."
                )

    def _row(self, record: Mapping[str, Any], origin: str) -> Row:
        form = self.form
        for name in form.needed:
            if name not in record:
                fields = ", ".join(form.needed)
                raise HoldfastError(
                    f"{origin}: field '{name}' is missing; every row needs the fields of the first one ({fields})."
                )
        first = record[form.needed[0]]
        if form.conversation:
            return self._conversation(self._turns(first, form.needed[0], origin), record, origin)
        if form.needed == ("segments",):
            return _segments(first, origin)
        if len(form.needed) == 1:
            return Row(text=string(first, form.needed[0], origin), origin=origin)
        last = record[form.needed[1]]
        first, last = (
            as_messages(value, name, self.seen) for value, name in zip((first, last), form.needed, strict=True)
        )
        if form.needed == ("_prompt", "_response"):
            last = self._aligned(last)
        if is_list(first) or is_list(last):
            context, answer = self._lists(first, last, origin)
            return self._conversation((*context, *answer), record, origin)
        prompt, completion = (
            string(value, name, origin) for value, name in zip((first, last), form.needed, strict=True)
        )
        return self._plain(self._with_input(prompt, record, origin), completion, record, origin)

    def _plain(self, prompt: str, completion: str, record: Mapping[str, Any], origin: str) -> Row:
        """Returns a prompt with its completion; a conversation if the row has further context."""
        context = context_from(record, origin, self.seen)
        self.used |= context.used
        if context:
            return context.row((Turn("user", prompt), Turn("assistant", completion)), origin)
        named = self.form.needed[:1] == ("prompt",) and self.form.needed[1:] in ((), ("completion",))
        return Row(prompt=prompt, completion=completion, joint="" if named else "\n", origin=origin)

    def _conversation(self, turns: Sequence[Turn], record: Mapping[str, Any], origin: str) -> Row:
        context = context_from(record, origin, self.seen)
        self.used |= context.used
        return context.row(turns, origin)

    def _with_input(self, prompt: str, record: Mapping[str, Any], origin: str) -> str:
        for name in names_of("input"):
            extra = record.get(name)
            if isinstance(extra, str) and name not in self.form.needed:
                self.used.add(name)
                if string(extra, name, origin).strip():
                    prompt = f"{prompt}\n\n{extra}"
        return prompt

    def _lists(self, first: Any, last: Any, origin: str) -> tuple[tuple[Turn, ...], tuple[Turn, ...]]:
        names = self.form.needed
        if not (is_list(first) and is_list(last)):
            raise HoldfastError(
                f"{origin}: field '{names[0]}' is {called(first)} but '{names[1]}' is {called(last)}; give both as "
                "strings or both as lists of messages."
            )
        context = tuple(dataclasses.replace(turn, learned=False) for turn in self._turns(first, names[0], origin))
        return context, self._turns(last, names[1], origin)

    def _turns(self, value: Any, name: str, origin: str) -> tuple[Turn, ...]:
        return turns_from(value, name, origin, self.seen)

    def _aligned(self, answers: Any) -> Any:
        """Returns the answers of LLaMA-Factory's own columns, reduced to the first of two that is not empty."""
        if not (is_list(answers) and len(answers) == 2):
            return answers
        answered = [answer for answer in answers if isinstance(answer, Mapping) and not is_empty(answer.get("content"))]
        if len(answered) == 2:
            if self.preference != "chosen":
                raise HoldfastError(
                    f"{self.seen.label}: '_response' holds a chosen and a rejected answer; {preferences.HINT}."
                )
            self.seen.say("the second answer in '_response' is rejected and not learned")
        return answered[:1]

    def _pair(self, record: Mapping[str, Any], origin: str) -> Row:
        """Returns the chosen answer of a preference, with what comes before it as context."""
        self.used |= {name for name in (*names_of("chosen"), *names_of("rejected")) if name in record}
        if not preferences.is_preference(record):
            raise HoldfastError(
                f"{origin}: has no chosen or rejected answer, but the first row has; mend or delete it."
            )
        chosen = preferences.chosen_of(record, origin, self.seen)
        self.seen.say("the chosen answer is learned and the rejected one is not")
        if chosen is None:
            return _last_learned(self._row(record, origin))
        if chosen.whole:
            return self._conversation(chosen.turns, record, origin)
        return self._answered(chosen, record, origin)

    def _answered(self, chosen: preferences.Pair, record: Mapping[str, Any], origin: str) -> Row:
        """Returns a chosen answer behind the prompt or conversation of its record."""
        named = next((name for name in self.form.needed[:1] if not is_empty(record.get(name))), "input")
        asked = record.get(named)
        if named == "input" and isinstance(asked, Mapping) and "messages" in asked:  # OpenAI's preferences
            self.used.add("input")
            record = {**record, "tools": asked.get("tools")}
            asked = asked["messages"]
        if asked is None:
            if not chosen.asked:
                raise HoldfastError(
                    f"{origin}: has no prompt, and its two answers share no beginning; give a 'prompt'."
                )
            return Row(prompt=chosen.asked, completion=chosen.text[len(chosen.asked) :], origin=origin)
        asked = as_messages(asked, named, self.seen)
        if is_list(asked):
            before = [dataclasses.replace(turn, learned=False) for turn in self._turns(asked, named, origin)]
            answer = chosen.turns or (Turn("assistant", chosen.text),)
            return self._conversation((*before, *answer), record, origin)
        prompt = self._with_input(string(asked, named, origin), record, origin)
        if chosen.turns:
            return self._conversation((Turn("user", prompt), *chosen.turns), record, origin)
        text = chosen.text.removeprefix(prompt) if chosen.asked and chosen.text.startswith(prompt) else chosen.text
        return self._plain(prompt, text, record, origin)


def _last_learned(row: Row) -> Row:
    """Returns a conversation in which only the last turn is learned."""
    last = len(row.turns) - 1
    turns = tuple(dataclasses.replace(t, learned=t.learned and i == last) for i, t in enumerate(row.turns))
    return dataclasses.replace(row, turns=turns)


def _number(value: Any) -> float | None:
    """Returns a number, also if a table holds it as text; None for any other value."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _is_undesired(answers: Any) -> bool:
    """Returns whether only the second of two answers has content; LLaMA-Factory puts the rejected answer there."""
    says = (
        [isinstance(answer, Mapping) and not is_empty(answer.get("content")) for answer in answers]
        if is_list(answers)
        else []
    )
    return says == [False, True]


def _segments(segments: Any, origin: str) -> Row:
    """Returns a document in which the segments labelled true are learned (axolotl's input_output)."""
    if not is_list(segments) or not segments:
        raise HoldfastError(f"{origin}: field 'segments' must be a list of segments with label and text.")
    text, spans = "", []
    for i, segment in enumerate(segments):
        learned = flag_of(segment.get("label")) if isinstance(segment, Mapping) else None
        if learned is None:
            raise HoldfastError(f"{origin}: field 'segments[{i}]' must hold a label (true or false) and a text.")
        content = string(segment.get("text"), f"segments[{i}].text", origin)
        if learned and content:
            spans.append((len(text), len(text) + len(content)))
        text += content
    return Row(text=text, spans=tuple(spans), origin=origin)
