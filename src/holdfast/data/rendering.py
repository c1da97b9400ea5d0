"""Writes a row out as the text a model sees, and says which characters of it are to be learned."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast.core.errors import HoldfastError
from holdfast.data.rows import Row, Turn
from holdfast.data.template import Reads, fitted, reads, rendered

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer


class Refused(HoldfastError):
    """Raised for a conversation that the chat template cannot write, or not so that its turns can be told apart.

    Args:
        origin: Where the row was read.
        what: What the template does with it.
    """

    def __init__(self, origin: str, what: str) -> None:
        super().__init__(f"{origin}: {what}; mend the row or leave the template unused (--raw, raw=True).")
        self.origin, self.what = origin, what


@dataclasses.dataclass(frozen=True)
class Piece:
    """A text with the parts of it that are to be learned.

    Attributes:
        text: The text.
        spans: Character ranges (start, end) that are to be learned, in order.
        by_template: Whether a chat template wrote the text, and with it the special tokens.
        ended: Whether something ends the last learned turn in the text; False where an end-of-sequence token is to.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    by_template: bool = False
    ended: bool = False


def uses_template(tokenizer: Tokenizer, raw: bool) -> bool:
    """Returns whether rows that are not documents are written through the tokenizer's chat template."""
    return not raw and bool(getattr(tokenizer, "chat_template", None))


def turns_of(row: Row) -> tuple[Turn, ...]:
    """Returns the row as a conversation: a prompt with its completion is a user's turn and an assistant's."""
    if row.kind == "messages":
        return row.turns
    return (Turn("user", row.prompt or ""), Turn("assistant", row.completion or ""))


def as_completion(row: Row) -> Row | None:
    """Returns a row as a prompt with its completion, as it is written without a chat template.

    One turn of a user and one of the assistant are a prompt and its completion, with a blank between them where neither
    has white space there. Of any other conversation roles and turns have to be told apart: None.
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
    """Returns the positions of the assistant's turns that have content and are to be learned."""
    return [i for i, t in enumerate(turns_of(row)) if t.role == "assistant" and t.learned and t.said.strip()]


def pieces_of(row: Row, tokenizer: Tokenizer, *, raw: bool = False) -> list[Piece]:
    """Returns the texts of a row: one, or one for each learned turn where the template rewrites earlier turns.

    An assistant's turn is found by rendering what comes before it (with the header of an assistant's turn) and what
    comes up to its end: both must begin the text of the whole conversation, or the header must be all that differs
    (the turn is then learned from where they part). Some templates rewrite earlier turns once later ones follow
    (dropping their thoughts, moving the system message); such a conversation becomes one text for each learned turn,
    ending with it, which is also what the model sees when it writes that turn. Contents are given to the template as
    strings, or as lists of parts if it loses strings. Without a template a prompt is written as it is, with its
    completion behind it (see `as_completion`), and any other conversation as "role: content" lines.

    Args:
        row: A conversation or a prompt with its completion.
        tokenizer: The tokenizer whose chat template is used, where it has one.
        raw: Whether to leave the chat template unused.

    Raises:
        Refused: If the template refuses the conversation, leaves out what is to be learned, or cannot be taken
            apart, naming it.
    """
    by_template = uses_template(tokenizer, raw)
    turns, learned = turns_of(row), learned_turns(row)
    if not by_template and (plain := as_completion(row)) is not None:
        text = (plain.prompt or "") + plain.joint + (plain.completion or "")
        # A blank between the two belongs to the word behind it; what a file puts there is part of the prompt.
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
    """Returns what stands before the row's last assistant turn (or completion), as it does in training.

    Raises:
        HoldfastError: If the row is a document, has no assistant's turn, or is refused by the template.
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
    """Returns the conversation as one text, or None where its turns cannot be found in it."""
    text = write(turns)
    spans = []
    for i in learned:
        end = len(text)
        if i + 1 < len(turns):
            up_to = write(turns[: i + 1])
            # Some templates end every conversation, whoever spoke last, with an end-of-sequence token.
            up_to = up_to if text.startswith(up_to) else up_to.removesuffix(write.eos)
            if not text.startswith(up_to):
                return None
            end = len(up_to)
        start = _start(turns, i, text, write)
        if start is None or start >= end:
            return None
        spoken = turns[i].content.rpartition("</think>")[2]  # what was thought may be dropped, and is then said
        words = [*spoken.split()[-1:], *(call["function"]["name"] for call in turns[i].calls)]
        if any(word not in text[start:end] for word in words):
            raise Refused(write.origin, f"the chat template of {write.name} leaves out what turn {i + 1} says")
        spans.append((start, end))
    last = turns[-1].content.rstrip()
    bare = len(turns) - 1 in learned and (text.rstrip().endswith(last) if last else not write.reads.ends.strip())
    return Piece(text, tuple(spans), write.by_template, ended=write.by_template and not bare)


def _start(turns: Sequence[Turn], i: int, text: str, write: _Template) -> int | None:
    """Returns the character at which turn `i` begins behind its header, or None where it cannot be found."""
    if i == 0:  # There is nothing to render before it, and templates fail on an empty conversation.
        return max(text.find(turns[0].content.strip()), 0)
    header = write(turns[:i], header=True)
    if text.startswith(header):
        return len(header)
    # The header says more than the conversation does (an empty thought, say): the turn begins where they part, but
    # not behind the first character that depends on what it says.
    other = Turn("assistant", "B" if turns[i].content.lstrip().startswith("A") else "A")
    shared = min(_shared(header, text), _shared(write([*turns[:i], other]), text))
    return shared if shared >= len(write(turns[:i])) else None


def _shared(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return next((k for k, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


class _Template:
    """Writes conversations: by the tokenizer's chat template, or as plain "role: content" lines."""

    def __init__(self, tokenizer: Tokenizer, by_template: bool, origin: str) -> None:
        self.tokenizer, self.by_template, self.origin = tokenizer, by_template, origin
        name = getattr(tokenizer, "name_or_path", "")
        self.name = f"'{name}'" if name else "this tokenizer"
        self.eos = str(tokenizer.eos_token or "")
        self.reads = reads(tokenizer) if by_template else Reads()
        self.row = Row()

    def begin(self, row: Row) -> tuple[Turn, ...]:
        """Returns the turns of a row as they can be written, and writes what stands beside them from now on."""
        self.row = row
        turns = turns_of(row)
        return fitted(turns, self.tokenizer) if self.by_template else turns

    def __call__(self, turns: Sequence[Turn], *, header: bool = False) -> str:
        """Returns the conversation, with the header of an assistant's turn behind it when asked."""
        if not self.by_template:
            return "".join(f"{turn.role}: {turn.content}\n" for turn in turns) + ("assistant:" if header else "")
        try:
            row = self.row
            return rendered(self.tokenizer, turns, self.reads, header=header, tools=row.tools, settings=row.settings)
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise Refused(
                self.origin, f"the chat template of {self.name} refuses this conversation ({reason})"
            ) from error
