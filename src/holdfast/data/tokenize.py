"""Rows to token ids and labels, with a count of everything that was left out or cut."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.data.digest import digest_of
from holdfast.data.held_out import duplicates, split_held_out
from holdfast.data.notes import Notes
from holdfast.data.render import Piece, learned_turns, pieces_of, prompt_text, uses_template
from holdfast.data.rows import Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

__all__ = ["Notes", "Prepared", "duplicates", "prompt_ids", "split_held_out", "tokenize"]


@dataclasses.dataclass
class Prepared:
    """Rows as token ids and labels, and what is to be said of how they came about."""

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
) -> Prepared:
    """Returns the rows as token ids and labels.

    Conversations and prompts with completions are written through the tokenizer's chat template where it has one
    (a prompt is then a user's turn), and no special token is added to what it writes, except an end-of-sequence token
    where it writes nothing behind an assistant's turn that is the last. Learned are the assistant's turns, up to and
    with the last special token that the template writes behind them; line breaks after that are not.
    Without a template, prompt and completion are joined and conversations written as "role: content" lines, with the
    special tokens that the tokenizer adds by its own habit and an end-of-sequence token, which is learned, behind the
    completion. Prompt and text are always tokenised jointly, and the completion begins where the tokens of the prompt
    alone and those of the whole part. Documents are learned in full, with the end-of-sequence token behind them;
    those longer than `max_length` become consecutive windows, each beginning with the last token of the one before so
    that every token is predicted once.

    Args:
        rows: The rows.
        tokenizer: A Hugging Face tokenizer.
        max_length: Most tokens of an example, at least 2.
        raw: Whether to leave the chat template unused.
        loss_on: Whether to learn the completions or everything; documents are always learned in full.
        over_long: Whether conversations and prompts with completions longer than `max_length` lose their end or are
            left out. What has nothing left to learn once it is cut is left out.

    Returns:
        Examples in the order of their rows, `source` 0, and the notes to show.

    Raises:
        HoldfastError: If the chat template refuses a conversation or cannot be taken apart, naming row and template;
            or for settings outside their range.
    """
    for name, value, choices in (
        ("loss_on", loss_on, ("completion", "all")),
        ("over_long", over_long, ("truncate", "drop")),
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
            found = _document(row, writer, max_length, notes)
        else:
            found = _conversation(row, writer, max_length, raw, loss_on == "all", over_long, notes)
        content = digest_of(row.contents)
        examples.extend(dataclasses.replace(example, content=content) for example in found)
    notes.examples = len(examples)
    notes.tokens = sum(len(example.input_ids) for example in examples)
    notes.supervised_tokens = sum(example.supervised for example in examples)
    return Prepared(examples, notes)


def prompt_ids(row: Row, tokenizer: Tokenizer, *, raw: bool = False) -> list[int]:
    """Returns the token ids from which a model is to write the row's last assistant turn or completion.

    The rendering is that of `tokenize`, so that a model is asked as it was taught.

    Raises:
        HoldfastError: If the row is a document, has no assistant's turn, or is refused by the template.
    """
    writer = _Writer(tokenizer)
    piece = prompt_text(row, tokenizer, raw=raw)
    ids = writer.encode(piece.text, piece.by_template)
    habit = not piece.by_template and len(ids) > 0 and ids[-1] == writer.eos
    return ids[:-1] if habit else ids


def _document(row: Row, writer: _Writer, max_length: int, notes: Notes) -> Iterator[Example]:
    text = row.text or ""
    if not text.strip():
        notes.note_empty(row.origin)
        return
    ids = writer.ended(writer.encode(text, False))
    if len(ids) > max_length:
        notes.note_long(row.origin)
        notes.split += 1
    for at in range(0, max(len(ids) - 1, 1), max_length - 1):
        window = tuple(ids[at : at + max_length])
        yield Example(window, window, origin=row.origin)


def _conversation(
    row: Row, writer: _Writer, max_length: int, raw: bool, learn_all: bool, over_long: str, notes: Notes
) -> Iterator[Example]:
    if not (learned_turns(row) or (learn_all and any(content.strip() for content in row.contents))):
        notes.note_empty(row.origin)
        return
    by_template = uses_template(writer.tokenizer, raw)
    pieces = pieces_of(row, writer.tokenizer, raw=raw)
    notes.rewritten += len(pieces) > 1
    notes.plain_chat += row.kind == "messages" and not by_template
    whole = [writer.example(piece, row, learn_all) for piece in pieces]
    kept = whole
    if any(len(example.input_ids) > max_length for example in whole):
        notes.note_long(row.origin)
        fitting = [example for example in whole if len(example.input_ids) <= max_length]
        kept = fitting if over_long == "drop" else [_cut(example, max_length) for example in whole]
    kept = [example for example in kept if example.supervised]
    if whole and not kept:
        notes.dropped += 1
    yield from kept


def _cut(example: Example, max_length: int) -> Example:
    ids, labels = example.input_ids[:max_length], example.labels[:max_length]
    return dataclasses.replace(example, input_ids=ids, labels=labels)


class _Writer:
    """A tokenizer with what is asked of it again and again."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        eos: Any = tokenizer.eos_token_id
        self.eos: int | None = eos
        added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        self.special = added | set(tokenizer.all_special_ids)

    def encode(self, text: str, by_template: bool) -> list[int]:
        """Returns the ids of a text, with the tokenizer's own special tokens unless a template wrote them."""
        encoded = self.tokenizer(text, add_special_tokens=not by_template, verbose=False)
        return [int(i) for i in encoded["input_ids"]]

    def ended(self, ids: list[int]) -> list[int]:
        """Returns the ids with an end-of-sequence token, where the tokenizer has one."""
        return ids if self.eos is None or (ids and ids[-1] == self.eos) else [*ids, self.eos]

    def example(self, piece: Piece, row: Row, learn_all: bool) -> Example:
        """Returns a text as one example, of any length."""
        ids = self.encode(piece.text, piece.by_template)
        ids = ids if piece.ended else self.ended(ids)
        labels = [-100] * len(ids)
        if learn_all:
            labels = ids
        else:
            for start, end in piece.spans:
                first = self._shared(ids, piece.text[:start], piece.by_template)
                if end < len(piece.text):
                    last = self._shared(ids, piece.text[:end], piece.by_template)
                else:
                    last = len(ids)
                last = self._last(ids, first, last) if piece.by_template else last
                labels[first:last] = ids[first:last]
        return Example(tuple(ids), tuple(labels), origin=row.origin)

    def _shared(self, ids: list[int], prefix: str, by_template: bool) -> int:
        """Returns how many tokens `ids` and those of the prefix alone have in common at their start."""
        alone = self.encode(prefix, by_template)
        return next((k for k, (a, b) in enumerate(zip(alone, ids, strict=False)) if a != b), min(len(alone), len(ids)))

    def _last(self, ids: list[int], first: int, last: int) -> int:
        """Returns the end of a turn behind its last special token, where only white space follows that one."""
        ends = [k for k in range(first, last) if ids[k] in self.special]
        if ends and not str(self.tokenizer.decode(ids[ends[-1] + 1 : last])).strip():
            return ends[-1] + 1
        return last
