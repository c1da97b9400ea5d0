"""Writes a row as the text that a model sees, with the ranges of characters that are learned."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast.core.errors import HoldfastError
from holdfast.data.rows import Row, Turn
from holdfast.data.template import Support, fitted, rendered, support_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer


class Refused(HoldfastError):
    """Raised for a conversation that the chat template cannot write, or whose turns cannot be found in its text.

    Args:
        origin: Where the row was read.
        what: The cause: a clause about the chat template.
    """

    def __init__(self, origin: str, what: str) -> None:
        super().__init__(f"{origin}: {what}; mend the row or leave the template unused (--raw, raw=True).")
        self.origin, self.what = origin, what


@dataclasses.dataclass(frozen=True)
class Piece:
    """A text with its learned parts.

    Attributes:
        text: The text.
        spans: Character ranges (start, end) that are learned, in order.
        by_template: Whether a chat template wrote the text, and with it the special tokens.
        ended: Whether the text itself ends the last learned turn; if not, an end-of-sequence token is added.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    by_template: bool = False
    ended: bool = False


def uses_template(tokenizer: Tokenizer, raw: bool) -> bool:
    """Returns whether the tokenizer's chat template writes rows other than documents."""
    return not raw and bool(getattr(tokenizer, "chat_template", None))


def turns_of(row: Row) -> tuple[Turn, ...]:
    """Returns a row as a conversation; a prompt and its completion become a user's turn and an assistant's."""
    if row.kind == "messages":
        return row.turns
    return (Turn("user", row.prompt or ""), Turn("assistant", row.completion or ""))


def as_completion(row: Row) -> Row | None:
    """Returns a row as a prompt with its completion, the form written without a chat template; None for others.

    A turn of the user followed by one of the assistant becomes a prompt and its completion, with a blank between them
    unless one of them has white space there. Any other conversation must show its roles, so the result is None.
    """
    if row.kind == "completion":
        return row
    if [turn.role for turn in row.turns] != ["user", "assistant"]:
        return None
    prompt, completion = (turn.content for turn in row.turns)
    apart = not prompt or not completion or prompt[-1:].isspace() or completion[:1].isspace()
    return dataclasses.replace(
        row, turns=(), prompt=prompt, completion=completion, joint=row.joint or ("" if apart else " ")
    )


def learned_turns(row: Row) -> list[int]:
    """Returns the positions of the learned turns: those of the assistant that have content."""
    return [i for i, t in enumerate(turns_of(row)) if t.role == "assistant" and t.learned and t.said.strip()]


def pieces_of(row: Row, tokenizer: Tokenizer, *, raw: bool = False) -> list[Piece]:
    """Returns the texts of a row: one, or one for each learned turn if the template rewrites earlier turns.

    To find an assistant's turn, the function renders the conversation up to the turn (with the header of an
    assistant's turn) and up to its end. Both must be prefixes of the whole text. If only the header differs, the turn
    is learned from the first difference. Some templates rewrite earlier turns once later ones follow (they drop
    thoughts or move the system message). Such a conversation becomes one text for each learned turn and ends with it;
    the model sees the same text when it writes that turn. The template receives contents as strings, or as lists of
    parts if it loses strings. Without a template, the completion follows its prompt directly (see `as_completion`), and
    any other conversation becomes "role: content" lines.

    Args:
        row: A conversation or a prompt with its completion.
        tokenizer: The tokenizer whose chat template is used, where it has one.
        raw: Whether to leave the chat template unused.

    Raises:
        Refused: The template refuses the conversation, leaves out learned content, or writes turns that cannot be
            found; the message names the template.
    """
    by_template = uses_template(tokenizer, raw)
    turns, learned = turns_of(row), learned_turns(row)
    if not by_template and (plain := as_completion(row)) is not None:
        text = (plain.prompt or "") + plain.joint + (plain.completion or "")
        # A blank added here belongs to the next word, for the tokenizer; a separator from a file is part of the prompt.
        start = len(plain.prompt or "") + len(row.joint)
        return [Piece(text, ((start, len(text)),) if learned else ())]
    write = _Template(tokenizer, by_template, row.origin)
    turns = write.begin(row)
    piece = _piece(turns, learned, write)
    if piece is not None:
        return [piece]
    pieces = []
    for i in learned:
        piece = _piece(turns[: i + 1], [i], write)
        if piece is None:
            raise Refused(
                row.origin,
                f"the chat template of {write.name} writes the conversation before turn {i + 1} differently once that "
                "turn follows, so that the turn cannot be told apart",
            )
        pieces.append(piece)
    return pieces


def prompt_text(row: Row, tokenizer: Tokenizer, *, raw: bool = False) -> Piece:
    """Returns the text before the last assistant's turn (or completion) of a row, as in training.

    Raises:
        HoldfastError: The row is a document or has no assistant's turn, or the template refuses it.
    """
    by_template = uses_template(tokenizer, raw)
    if row.kind == "text":
        raise HoldfastError(f"{row.origin}: a document has no prompt; give prompt and completion, or messages.")
    if not by_template and (plain := as_completion(row)) is not None:
        return Piece((plain.prompt or "") + row.joint, ())
    turns = turns_of(row)
    last = max((i for i, turn in enumerate(turns) if turn.role == "assistant"), default=None)
    if last is None:
        raise HoldfastError(f"{row.origin}: the conversation has no assistant's turn; add one or delete the row.")
    write = _Template(tokenizer, by_template, row.origin)
    turns = write.begin(row)
    text = write(turns[: last + 1])
    start = _start(turns[: last + 1], last, text, write)
    return Piece(write(turns[:last], header=True) if start is None else text[:start], (), by_template)


def _piece(turns: Sequence[Turn], learned: Sequence[int], write: _Template) -> Piece | None:
    """Returns the conversation as one text, or None if its turns cannot be found in it."""
    text = write(turns)
    spans = []
    for i in learned:
        end = len(text)
        if i + 1 < len(turns):
            up_to = write(turns[: i + 1])
            # Some templates end every conversation with an end-of-sequence token, whichever role speaks last.
            up_to = up_to if text.startswith(up_to) else up_to.removesuffix(write.eos)
            if not text.startswith(up_to):
                return None
            end = len(up_to)
        start = _start(turns, i, text, write)
        if start is None or start >= end:
            return None
        spoken = turns[i].content.rpartition("</think>")[2]  # a template may drop the thought; notes report that
        words = [*spoken.split()[-1:], *(call["function"]["name"] for call in turns[i].calls)]
        if any(word not in text[start:end] for word in words):
            raise Refused(write.origin, f"the chat template of {write.name} leaves out what turn {i + 1} says")
        spans.append((start, end))
    last = turns[-1].content.rstrip()
    bare = len(turns) - 1 in learned and (text.rstrip().endswith(last) if last else not write.support.ends.strip())
    return Piece(text, tuple(spans), write.by_template, ended=write.by_template and not bare)


def _start(turns: Sequence[Turn], i: int, text: str, write: _Template) -> int | None:
    """Returns the character at which turn `i` begins behind its header, or None if it cannot be found."""
    if i == 0:  # There is nothing to render before it, and templates fail on an empty conversation.
        return max(text.find(turns[0].content.strip()), 0)
    header = write(turns[:i], header=True)
    if text.startswith(header):
        return len(header)
    # The header for generation has more than the conversation (an empty thought, say). The turn then begins at the
    # first difference, but not behind the first character that depends on its content.
    other = Turn("assistant", "B" if turns[i].content.lstrip().startswith("A") else "A")
    shared = min(_shared(header, text), _shared(write([*turns[:i], other]), text))
    return shared if shared >= len(write(turns[:i])) else None


def _shared(text: str, other: str) -> int:
    pairs = zip(text, other, strict=False)
    return next((k for k, (a, b) in enumerate(pairs) if a != b), min(len(text), len(other)))


class _Template:
    """Writes conversations: by the tokenizer's chat template, or as plain "role: content" lines."""

    def __init__(self, tokenizer: Tokenizer, by_template: bool, origin: str) -> None:
        self.tokenizer, self.by_template, self.origin = tokenizer, by_template, origin
        name = getattr(tokenizer, "name_or_path", "")
        self.name = f"'{name}'" if name else "this tokenizer"
        self.eos = str(tokenizer.eos_token or "")
        self.support = support_of(tokenizer) if by_template else Support()
        self.row = Row()

    def begin(self, row: Row) -> tuple[Turn, ...]:
        """Returns the turns of a row in a form that can be written, and remembers the row's tools and settings."""
        self.row = row
        turns = turns_of(row)
        return fitted(turns, self.tokenizer) if self.by_template else turns

    def __call__(self, turns: Sequence[Turn], *, header: bool = False) -> str:
        """Returns the conversation as text, with the header of an assistant's turn behind it if `header`."""
        if not self.by_template:
            return "".join(f"{turn.role}: {turn.content}\n" for turn in turns) + ("assistant:" if header else "")
        try:
            row = self.row
            return rendered(self.tokenizer, turns, self.support, header=header, tools=row.tools, settings=row.settings)
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise Refused(
                self.origin, f"the chat template of {self.name} refuses this conversation ({reason})"
            ) from error
