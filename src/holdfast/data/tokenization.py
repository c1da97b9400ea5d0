"""Turns rows into token ids and labels, and counts everything that is left out or cut."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.data.digest import digest_of
from holdfast.data.notes import Notes
from holdfast.data.rendering import (
    Piece,
    Refused,
    as_completion,
    learned_turns,
    pieces_of,
    prompt_text,
    uses_template,
)
from holdfast.data.rows import Row, Turn
from holdfast.data.template import counted

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer


@dataclasses.dataclass
class Prepared:
    """Rows as token ids and labels, and the notes about them."""

    examples: list[Example]
    notes: Notes


def tokenize(
    rows: Iterable[Row],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    raw: bool = False,
    loss_on: Literal["completion", "all"] = "completion",
    over_long: Literal["truncate", "drop"] = "truncate",
    refused: Literal["error", "drop"] = "error",
) -> Prepared:
    """Returns the rows as token ids and labels.

    The tokenizer's chat template, if there is one, writes conversations and prompts with completions (a prompt is then
    a user's turn). No special token is added to its text, except an end-of-sequence token if it writes nothing after a
    final assistant's turn. The loss covers the assistant's turns, up to and including the last special token that the
    template puts after them, without line breaks after that token.

    Without a template, prompt and completion are joined (one user's turn and one assistant's turn are such a pair), and
    other conversations are written as "role: content" lines. The tokenizer adds its usual special tokens, and an
    end-of-sequence token, which is learned, follows the completion. Prompt and text are always tokenised jointly, and
    the completion begins at the first token that differs from those of the prompt alone.

    The loss covers documents in full, with the end-of-sequence token after them. Documents longer than `max_length`
    become consecutive windows. Each window begins with the last token of the one before, so every token is predicted
    once.

    Args:
        rows: The rows.
        tokenizer: A Hugging Face tokenizer.
        max_length: Most tokens of an example, at least 2.
        raw: Whether to leave the chat template unused.
        loss_on: Whether to learn the completions or everything; documents are always learned in full.
        over_long: Whether conversations and prompts with completions longer than `max_length` lose their end or are
            left out. A row with nothing left to learn after the cut is left out.
        refused: Whether a conversation that the chat template cannot write is an error or is left out.

    Returns:
        Examples in the order of their rows, `source` 0, and the notes to show.

    Raises:
        HoldfastError: The chat template refuses conversations or writes turns that cannot be found; names the first
            row, the number of rows and the template. Or a setting is outside its range.
    """
    for name, value, choices in (
        ("loss_on", loss_on, ("completion", "all")),
        ("over_long", over_long, ("truncate", "drop")),
        ("refused", refused, ("error", "drop")),
    ):
        if value not in choices:
            raise HoldfastError(f"{name}={value!r}: choose one of {', '.join(map(repr, choices))}.")
    if max_length < 2:
        raise HoldfastError(f"max_length={max_length}: give a whole number from 2 (tokens).")
    writer = _Writer(tokenizer)
    examples: list[Example] = []
    notes = Notes(max_length=max_length)
    for row in rows:
        notes.rows += 1
        if row.kind == "text":
            prepared = list(_document(row, writer, max_length, notes))
        else:
            try:
                prepared = list(_conversation(row, writer, max_length, raw, loss_on == "all", over_long, notes))
            except Refused as error:
                notes.note_refused(error.origin, error.what)
                continue
        content = digest_of(row.contents)
        examples.extend(dataclasses.replace(example, content=content) for example in prepared)
    if notes.refused and refused == "error":
        raise HoldfastError(
            f"{notes.first_refused}: {notes.why_refused}, as it does {notes.of(notes.refused)}; leave them out "
            "(--refused drop), leave the template unused (--raw), or mend them."
        )
    notes.examples = len(examples)
    notes.tokens = sum(len(example.input_ids) for example in examples)
    notes.supervised_tokens = sum(example.supervised for example in examples)
    return Prepared(examples, notes)


def ids_of_prompts(rows: Iterable[Row], tokenizer: Tokenizer, *, raw: bool = False) -> list[list[int]]:
    """Returns the token ids of the prompt for each row's last assistant's turn or completion.

    The prompts are written as in `tokenize`, so that questions have the form of the training.

    Raises:
        HoldfastError: A row is a document or has no assistant's turn, or the template refuses it.
    """
    writer = _Writer(tokenizer)
    return [_prompt_ids(row, writer, raw or writer.is_written(row)) for row in rows]


def _prompt_ids(row: Row, writer: _Writer, raw: bool) -> list[int]:
    row = row if uses_template(writer.tokenizer, raw) else _spoken(row)
    piece = prompt_text(row, writer.tokenizer, raw=raw)
    ids = writer.encode(piece.text, piece.by_template)
    habit = not piece.by_template and writer.ends_by_habit and ids[-1:] == [writer.eos]
    return ids[:-1] if habit else ids


def ending_ids(tokenizer: Tokenizer, *, raw: bool = False) -> set[int]:
    """Returns the tokens that end an answer: end-of-sequence, and the learned token behind an assistant's turn.

    Args:
        tokenizer: A Hugging Face tokenizer.
        raw: Whether the chat template is left unused.
    """
    writer = _Writer(tokenizer)
    ends: set[int] = set() if writer.eos is None else {writer.eos}
    row = Row(turns=(Turn("user", "Q", False), Turn("assistant", "A")), origin="an answer")
    try:
        examples = tokenize([row], tokenizer, max_length=2**30, raw=raw).examples
    except HoldfastError:  # The template refuses this conversation, so the end of its turns is unknown.
        return ends
    last = (next(label for label in reversed(example.labels) if label != -100) for example in examples)
    return ends | (set(last) & writer.special)


def _spoken(row: Row, notes: Notes | None = None) -> Row:
    """Returns a row with its calls in the contents, as it is written without a chat template."""
    if notes is not None:
        notes.count(counted(row, ["\n".join(turn.said for turn in row.turns)], None))
    if not any(turn.calls for turn in row.turns):
        return row
    turns = tuple(dataclasses.replace(turn, content=turn.said, calls=()) for turn in row.turns)
    return dataclasses.replace(row, turns=turns)


def _document(row: Row, writer: _Writer, max_length: int, notes: Notes) -> Iterator[Example]:
    text = row.text or ""
    if not text.strip():
        notes.note_empty(row.origin)
        return
    if row.spans is None:
        ids = writer.ended(writer.encode(text, False))
        labels = ids
    else:
        ids, labels = writer.marked(Piece(text, row.spans, by_template=True, ended=True))
        if all(label == -100 for label in labels):
            notes.note_empty(row.origin)
            return
    if len(ids) > max_length:
        notes.note_long(row.origin)
        notes.split += 1
    begin = ids[:1] if row.spans is None and writer.begins_by_habit else []
    yield from _windows(ids, labels, begin, max_length, row.origin)


def _windows(ids: list[int], labels: list[int], begin: list[int], size: int, origin: str) -> Iterator[Example]:
    """Yields a document in windows that together predict every token once.

    Each window after the first begins with `begin`, as the document does, and the last token of the window before, if
    there is room for more than these.
    """
    yield Example(tuple(ids[:size]), tuple(labels[:size]), origin=origin)
    at = size
    while at < len(ids):
        context = [*begin, ids[at - 1]][: size - 1]
        end = at + size - len(context)
        window = (*context, *ids[at:end])
        if any(label != -100 for label in labels[at:end]):
            yield Example(window, (*[-100] * len(context), *labels[at:end]), origin=origin)
        at = end


def _conversation(
    row: Row, writer: _Writer, max_length: int, raw: bool, learn_all: bool, over_long: str, notes: Notes
) -> Iterator[Example]:
    if not (learned_turns(row) or (learn_all and "".join(row.contents).strip())):
        notes.note_empty(row.origin)
        return
    if not raw and writer.is_written(row):
        notes.note_written(row.origin)
        raw = True
    by_template = uses_template(writer.tokenizer, raw)
    row = row if by_template else _spoken(row, notes)
    pieces = pieces_of(row, writer.tokenizer, raw=raw)
    if by_template:
        notes.count(counted(row, [piece.text for piece in pieces], writer.tokenizer))
    notes.rewritten += len(pieces) > 1
    notes.plain_chat += not by_template and as_completion(row) is None
    whole = [writer.example(piece, row, learn_all) for piece in pieces]
    if any(len(example.input_ids) > max_length for example in whole):
        notes.note_long(row.origin)
    kept = _short_enough(whole, max_length, over_long)
    if whole and not kept:
        notes.dropped += 1
    yield from kept


def _short_enough(whole: list[Example], max_length: int, over_long: str) -> list[Example]:
    """Returns the examples after longer ones are left out or cut, without those that have nothing left to learn."""
    if over_long == "drop":
        kept = [example for example in whole if len(example.input_ids) <= max_length]
    else:
        kept = [_cut(example, max_length) for example in whole]
    return [example for example in kept if example.supervised]


def _cut(example: Example, max_length: int) -> Example:
    ids, labels = example.input_ids[:max_length], example.labels[:max_length]
    return dataclasses.replace(example, input_ids=ids, labels=labels)


class _Writer:
    """A tokenizer with its special tokens and habits, which are looked up once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        eos: Any = tokenizer.eos_token_id
        self.eos: int | None = eos
        added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        self.special = added | set(tokenizer.all_special_ids)
        bos: Any = tokenizer.bos_token_id
        alone = self._ids("a", True)
        self.begins_by_habit = bos is not None and alone[:1] == [bos]
        self.ends_by_habit = self.eos is not None and alone[-1:] == [self.eos]

    def _ids(self, text: str, add_special_tokens: bool) -> list[int]:
        encoded = self.tokenizer(text, add_special_tokens=add_special_tokens, verbose=False)
        return [int(i) for i in encoded["input_ids"]]

    def is_written(self, row: Row) -> bool:
        """Returns whether a template has already written a prompt: the prompt begins with a special token."""
        if row.kind != "completion":
            return False
        ids = self._ids((row.prompt or "").lstrip()[:64], False)
        return bool(ids) and ids[0] in self.special

    def encode(self, text: str, by_template: bool) -> list[int]:
        """Returns the ids of a text, with the tokenizer's own special tokens unless a template wrote them.

        A special token that the text already begins or ends with is not doubled.
        """
        ids = self._ids(text, not by_template)
        if not by_template and self.begins_by_habit and ids[:1] == ids[1:2]:
            ids = ids[1:]
        if not by_template and self.ends_by_habit and len(ids) > 1 and ids[-1] == ids[-2]:
            ids = ids[:-1]
        return ids

    def ended(self, ids: list[int]) -> list[int]:
        """Returns the ids with an end-of-sequence token at the end, if the tokenizer has one."""
        if self.eos is None:
            return ids
        last = len(ids) - 1
        while last > 0 and ids[last] != self.eos and str(self.tokenizer.decode([ids[last]])).isspace():
            last -= 1
        return ids if last >= 0 and ids[last] == self.eos else [*ids, self.eos]

    def example(self, piece: Piece, row: Row, learn_all: bool) -> Example:
        """Returns a text as one example, uncut."""
        ids, labels = self.marked(piece)
        return Example(tuple(ids), tuple(ids if learn_all else labels), origin=row.origin)

    def marked(self, piece: Piece) -> tuple[list[int], list[int]]:
        """Returns the ids of a text and its labels."""
        ids = self.encode(piece.text, piece.by_template)
        ids = ids if piece.ended else self.ended(ids)
        labels = [-100] * len(ids)
        for start, end in piece.spans:
            first = self._shared(ids, piece.text[:start], piece.by_template)
            if end < len(piece.text):
                last = self._shared(ids, piece.text[:end], piece.by_template)
            else:
                last = len(ids)
            last = self._last(ids, first, last) if piece.by_template else last
            labels[first:last] = ids[first:last]
        return ids, labels

    def _shared(self, ids: list[int], prefix: str, by_template: bool) -> int:
        """Returns the number of tokens with which both `ids` and the ids of `prefix` alone begin."""
        alone = self.encode(prefix, by_template)
        return next((k for k, (a, b) in enumerate(zip(alone, ids, strict=False)) if a != b), min(len(alone), len(ids)))

    def _last(self, ids: list[int], first: int, last: int) -> int:
        """Returns the end of a turn: behind its last special token if only white space follows, else `last`."""
        ends = [k for k in range(first, last) if ids[k] in self.special]
        if ends and not str(self.tokenizer.decode(ids[ends[-1] + 1 : last])).strip():
            return ends[-1] + 1
        return last
