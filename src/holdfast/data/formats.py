"""Recognises what a mapping of columns means, and turns it into a `Row`; every complaint names row and field."""

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
"""The columns that are understood, in words."""


@dataclasses.dataclass(frozen=True)
class Format:
    """The columns that the rows of one source are read from.

    Attributes:
        called: The format in words.
        needed: Columns that every row must have: one (messages or text) or two (prompt, completion).
        conversation: Whether the one needed column is a list of messages.
        pairs: Whether the rows are preferences, whose answer stands in a column of its own.
    """

    called: str
    needed: tuple[str, ...]
    conversation: bool = False
    pairs: bool = False


def recognise(columns: Iterable[str], origin: str, *, pairs: bool = False) -> Format:
    """Returns the format that `columns` are of.

    Where the columns fit several formats the first in this order is taken: conversations, instructions, prompts with
    completions, documents.

    Args:
        columns: Names of the columns of the first row.
        origin: Where that row was read.
        pairs: Whether the rows are preferences, which need no completion.

    Raises:
        HoldfastError: If no format fits, listing the columns found and those accepted.
    """
    names = list(columns)
    name = column(names, "conversation")
    if name is not None:
        return Format(f"conversations ('{name}')", (name,), conversation=True, pairs=pairs)
    completion = column(names, "completion")
    if (found := _asking(names, completion, pairs)) is not None:
        return found
    if pairs:
        return Format("preferences", (), pairs=True)
    if (name := column(names, "segments")) is not None:
        return Format(f"segments of text ('{name}')", (name,))
    if (name := column(names, "text")) is not None:
        return Format(f"documents ('{name}')", (name,))
    if completion is not None and "input" in names:  # beside an instruction or a prompt it is appended to that
        return Format(f"prompts ('input') with completions ('{completion}')", ("input", completion))
    if "completion" in names:
        return Format("documents ('completion', without a prompt)", ("completion",))
    raise _unaccepted(names, origin)


def _asking(names: Sequence[str], completion: str | None, pairs: bool) -> Format | None:
    """Returns the format of columns with an instruction or a prompt that is answered; None for others."""
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
    """Returns the error of columns that fit no format."""
    found = ", ".join(repr(name) for name in names) or "none"
    if (name := column(names, "tokens")) is not None:
        return HoldfastError(f"{origin}: holds tokens ('{name}') and no text; give the texts they were made of.")
    known = [name for name in all_names() if not name.startswith("_")]
    hint = next((hint for name in names if name not in known and (hint := nearest(name, known))), "")
    return HoldfastError(f"{origin}: the columns found ({found}) are none of those accepted: {ACCEPTED}.{hint}")


def rows_of(
    records: Iterable[tuple[str, Any]],
    label: str,
    *,
    preference: Preference = "refuse",
    notes: list[str] | None = None,
) -> list[Row]:
    """Returns the rows of one source, all in the format of its first.

    Args:
        records: Pairs of origin ("facts.jsonl:7") and what was read there.
        label: What the source is called in messages.
        preference: What becomes of rows with a chosen and a rejected answer: they are refused, or the chosen one is
            learned.
        notes: Gets sentences that say what was understood of the source: its format, and what is not used.

    Raises:
        HoldfastError: If there are no records or one of them is malformed.
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
        raise HoldfastError(f"{label}: no row is to be learned: {reader.left_out}; give rows that are.")
    return rows


def _as_mapping(record: Any, origin: str) -> dict[str, Any]:
    if looks_like_messages(record):
        return {"messages": record}
    if not isinstance(record, Mapping):
        raise HoldfastError(f"{origin}: is {called(record)}, but every row must be a mapping of named fields.")
    return {str(name): value for name, value in record.items()}


class _Reader:
    """Reads the rows of one source, and counts what is dropped or assumed."""

    def __init__(self, form: Format, preference: Preference, label: str | None, seen: SourceNotes) -> None:
        self.form, self.preference, self.label, self.seen = form, preference, label, seen
        self.left_out = ""
        self.used: set[str] = set()

    def row(self, record: dict[str, Any], origin: str) -> Row | None:
        """Returns a row, or None where it is not to be learned."""
        self.seen.begin()
        if not self.form.pairs and preferences.is_preference(record):
            preferences.check(record, self.preference, origin)
        self._refuse_media(record, origin)
        self.used = {*self.form.needed}
        keep = self._is_kept(record, origin)
        made = self._pair(record, origin) if self.form.pairs else self._row(record, origin)
        for name, value in record.items():
            if name not in self.used and not is_empty(value):
                self.seen.unused(name)
        return made if keep else None

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
                    f"{origin}: field '{name}' holds what is no text, and only text can be learned; delete the rows "
                    "that need it, or the field."
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
        """Returns a prompt with its completion: a conversation where something else belongs to it."""
        found = context_from(record, origin, self.seen)
        self.used |= found.used
        if found:
            return found.row((Turn("user", prompt), Turn("assistant", completion)), origin)
        named = self.form.needed[:1] == ("prompt",) and self.form.needed[1:] in ((), ("completion",))
        return Row(prompt=prompt, completion=completion, joint="" if named else "\n", origin=origin)

    def _conversation(self, turns: Sequence[Turn], record: Mapping[str, Any], origin: str) -> Row:
        found = context_from(record, origin, self.seen)
        self.used |= found.used
        return found.row(turns, origin)

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
        """Returns the answer among those of LLaMA-Factory's own columns: of two, one of which is empty, the other."""
        if not (is_list(answers) and len(answers) == 2):
            return answers
        said = [one for one in answers if isinstance(one, Mapping) and not is_empty(one.get("content"))]
        if len(said) == 2:
            if self.preference != "chosen":
                raise HoldfastError(
                    f"{self.seen.label}: '_response' holds a chosen and a rejected answer; {preferences.HINT}."
                )
            self.seen.say("the second answer in '_response' is rejected and not learned")
        return said[:1]

    def _pair(self, record: Mapping[str, Any], origin: str) -> Row:
        """Returns the chosen answer of a preference, with what comes before it as context."""
        self.used |= {name for name in (*names_of("chosen"), *names_of("rejected")) if name in record}
        if not preferences.is_preference(record):
            raise HoldfastError(f"{origin}: has no chosen or rejected answer, as the first row has; mend or delete it.")
        found = preferences.chosen_of(record, origin, self.seen)
        self.seen.say("the chosen answer is learned and the rejected one is not")
        if found is None:
            return _last_learned(self._row(record, origin))
        if found.whole:
            return self._conversation(found.turns, record, origin)
        return self._answered(found, record, origin)

    def _answered(self, found: preferences.Pair, record: Mapping[str, Any], origin: str) -> Row:
        """Returns a chosen answer behind the prompt, or the conversation, that the record gives it."""
        named = next((name for name in self.form.needed[:1] if not is_empty(record.get(name))), "input")
        asked = record.get(named)
        if named == "input" and isinstance(asked, Mapping) and "messages" in asked:  # OpenAI's preferences
            self.used.add("input")
            record = {**record, "tools": asked.get("tools")}
            asked = asked["messages"]
        if asked is None:
            if not found.asked:
                raise HoldfastError(f"{origin}: has no prompt, and its answers begin differently; give a 'prompt'.")
            return Row(prompt=found.asked, completion=found.text[len(found.asked) :], origin=origin)
        asked = as_messages(asked, named, self.seen)
        if is_list(asked):
            before = [dataclasses.replace(turn, learned=False) for turn in self._turns(asked, named, origin)]
            answer = found.turns or (Turn("assistant", found.text),)
            return self._conversation((*before, *answer), record, origin)
        prompt = self._with_input(string(asked, named, origin), record, origin)
        if found.turns:
            return self._conversation((Turn("user", prompt), *found.turns), record, origin)
        text = found.text.removeprefix(prompt) if found.asked and found.text.startswith(prompt) else found.text
        return self._plain(prompt, text, record, origin)


def _last_learned(row: Row) -> Row:
    """Returns a conversation of which the last turn alone is learned."""
    last = len(row.turns) - 1
    turns = tuple(dataclasses.replace(t, learned=t.learned and i == last) for i, t in enumerate(row.turns))
    return dataclasses.replace(row, turns=turns)


def _number(value: Any) -> float | None:
    """Returns a number, also one that a table holds as text; None for anything else."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _is_undesired(answers: Any) -> bool:
    """Returns whether only the second of two answers says something, which is LLaMA-Factory's rejected one."""
    said = (
        [isinstance(one, Mapping) and not is_empty(one.get("content")) for one in answers] if is_list(answers) else []
    )
    return said == [False, True]


def _segments(segments: Any, origin: str) -> Row:
    """Returns a document of which the segments that are labelled true are learned (axolotl's input_output)."""
    if not is_list(segments) or not segments:
        raise HoldfastError(f"{origin}: field 'segments' must be a list of segments with label and text.")
    text, spans = "", []
    for i, segment in enumerate(segments):
        learned = flag_of(segment.get("label")) if isinstance(segment, Mapping) else None
        if learned is None:
            raise HoldfastError(f"{origin}: field 'segments[{i}]' must hold a label (true or false) and a text.")
        said = string(segment.get("text"), f"segments[{i}].text", origin)
        if learned and said:
            spans.append((len(text), len(text) + len(said)))
        text += said
    return Row(text=text, spans=tuple(spans), origin=origin)
