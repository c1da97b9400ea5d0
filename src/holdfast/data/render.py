"""Writes a row out as the text a model sees, and says which characters of it are to be learned."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast.core.errors import HoldfastError
from holdfast.data.rows import Row, Turn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer


@dataclasses.dataclass(frozen=True)
class Piece:
    """A text with the parts of it that are to be learned.

    Attributes:
        text: The text.
        spans: Character ranges (start, end) that are to be learned, in order.
        by_template: Whether a chat template wrote the text, and with it all special tokens there are to be.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    by_template: bool = False


def uses_template(tokenizer: Tokenizer, raw: bool) -> bool:
    """Returns whether rows that are not documents are written through the tokenizer's chat template."""
    return not raw and bool(getattr(tokenizer, "chat_template", None))


def turns_of(row: Row) -> tuple[Turn, ...]:
    """Returns the row as a conversation: a prompt with its completion is a user's turn and an assistant's."""
    if row.kind == "messages":
        return row.turns
    return (Turn("user", row.prompt or ""), Turn("assistant", row.completion or ""))


def learned_turns(row: Row) -> list[int]:
    """Returns the positions of the assistant's turns that have content and are to be learned."""
    return [i for i, t in enumerate(turns_of(row)) if t.role == "assistant" and t.learned and t.content.strip()]


def pieces_of(row: Row, tokenizer: Tokenizer, *, raw: bool = False) -> list[Piece]:
    """Returns the texts of a row: one, or one for each learned turn where the template rewrites earlier turns.

    An assistant's turn is found by rendering what comes before it (with the header of an assistant's turn) and what
    comes up to its end: both must begin the text of the whole conversation, or the header must be all that differs
    (the turn is then learned from where they part). Some templates rewrite earlier turns once later ones follow
    (dropping their thoughts, moving the system message); such a conversation becomes one text for each learned turn,
    ending with it, which is also what the model sees when it writes that turn.

    Args:
        row: A conversation or a prompt with its completion.
        tokenizer: The tokenizer whose chat template is used, where it has one.
        raw: Whether to leave the chat template unused.

    Raises:
        HoldfastError: If the template refuses the conversation or cannot be taken apart, naming it.
    """
    by_template = uses_template(tokenizer, raw)
    if row.kind == "completion" and not by_template:
        prompt = (row.prompt or "") + row.joint
        text = prompt + (row.completion or "")
        return [Piece(text, ((len(prompt), len(text)),))]
    turns, learned = turns_of(row), learned_turns(row)
    piece = _piece(turns, learned, tokenizer, by_template, row.origin)
    if piece is not None:
        return [piece]
    pieces = []
    for i in learned:
        piece = _piece(turns[: i + 1], [i], tokenizer, by_template, row.origin)
        if piece is None:
            raise HoldfastError(
                f"{row.origin}: the chat template of {_named(tokenizer)} writes the conversation before turn {i + 1} "
                "differently once that turn follows, so that the turn cannot be told apart; pass raw=True or mend the "
                "template."
            )
        pieces.append(piece)
    return pieces


def prompt_text(row: Row, tokenizer: Tokenizer, *, raw: bool = False) -> Piece:
    """Returns what a model is given so that it writes the row's last assistant turn (or completion); nothing learned.

    Raises:
        HoldfastError: If the row is a document, has no assistant's turn, or is refused by the template.
    """
    by_template = uses_template(tokenizer, raw)
    if row.kind == "text":
        raise HoldfastError(f"{row.origin}: a document has no prompt; give prompt and completion, or messages.")
    if row.kind == "completion" and not by_template:
        return Piece((row.prompt or "") + row.joint, ())
    turns = turns_of(row)
    last = max((i for i, turn in enumerate(turns) if turn.role == "assistant"), default=None)
    if last is None:
        raise HoldfastError(f"{row.origin}: the conversation has no assistant's turn; add one or delete the row.")
    return Piece(_written(turns[:last], True, tokenizer, by_template, row.origin), (), by_template)


def _piece(
    turns: Sequence[Turn], learned: Sequence[int], tokenizer: Tokenizer, by_template: bool, origin: str
) -> Piece | None:
    """Returns the conversation as one text, or None where its turns cannot be found in it."""
    text = _written(turns, False, tokenizer, by_template, origin)
    spans = []
    for i in learned:
        end = len(text)
        if i + 1 < len(turns):
            up_to = _written(turns[: i + 1], False, tokenizer, by_template, origin)
            if not text.startswith(up_to):
                return None
            end = len(up_to)
        start = _start(turns, i, text, tokenizer, by_template, origin)
        if start is None or start >= end:
            return None
        spans.append((start, end))
    return Piece(text, tuple(spans), by_template)


def _start(
    turns: Sequence[Turn], i: int, text: str, tokenizer: Tokenizer, by_template: bool, origin: str
) -> int | None:
    """Returns the character at which turn `i` begins behind its header, or None where it cannot be found."""
    if i == 0:  # There is nothing to render before it, and templates fail on an empty conversation.
        return max(text.find(turns[0].content.strip()), 0)
    header = _written(turns[:i], True, tokenizer, by_template, origin)
    if text.startswith(header):
        return len(header)
    shared = next((k for k, (a, b) in enumerate(zip(header, text, strict=False)) if a != b), len(text))
    before = _written(turns[:i], False, tokenizer, by_template, origin)
    return shared if shared >= len(before) else None


def _written(turns: Sequence[Turn], header: bool, tokenizer: Tokenizer, by_template: bool, origin: str) -> str:
    if not by_template:
        return "".join(f"{turn.role}: {turn.content}\n" for turn in turns) + ("assistant:" if header else "")
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=header))
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise HoldfastError(
            f"{origin}: the chat template of {_named(tokenizer)} refuses this conversation ({reason}); mend the row or "
            "pass raw=True."
        ) from error


def _named(tokenizer: Tokenizer) -> str:
    name = getattr(tokenizer, "name_or_path", "")
    return f"'{name}'" if name else "this tokenizer"
