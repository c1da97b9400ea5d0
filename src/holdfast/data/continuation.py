"""Where an answer stands among the tokens of a prompt and the answer, and nothing behind it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast.core.errors import HoldfastError
from holdfast.data.rendering import Piece, as_completion, pieces_of, uses_template
from holdfast.data.rows import Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer


@dataclasses.dataclass(frozen=True)
class Continuation:
    """A prompt and what continues it.

    Attributes:
        ids: Token ids of both, tokenised together.
        start: Number of tokens that are the prompt's alone.
    """

    ids: tuple[int, ...]
    start: int


def continuation(row: Row, tokenizer: Tokenizer, *, raw: bool = False) -> Continuation:
    """Returns the tokens of a row up to the last character of its last answer, and where the answer's own begin.

    What ends a turn or a text is left out. Without a chat template white space at the end of a prompt belongs to the
    answer, since tokenizers write it into the token behind it, as in lm-eval's `_encode_pair`.

    Args:
        row: A conversation that ends with the assistant, a prompt with its completion, or a document, which is all
            answer.
        tokenizer: Its tokenizer.
        raw: Whether to leave the chat template unused.

    Raises:
        HoldfastError: If the chat template refuses the conversation or writes the answer in other words; names the row.
    """
    by_template = row.kind != "text" and uses_template(tokenizer, raw)
    if row.kind == "text":
        text, prompt = row.text or "", ""
    else:
        piece = pieces_of(row, tokenizer, raw=raw)[-1]
        start, end = _place(row, piece, by_template)
        text, prompt = piece.text[:end], piece.text[:start] if by_template else piece.text[:start].rstrip()
    ids = _ids(text, tokenizer, by_template)
    return Continuation(ids, _shared(ids, _ids(prompt, tokenizer, by_template)))


def _place(row: Row, piece: Piece, by_template: bool) -> tuple[int, int]:
    """Returns the character range of the last answer in a text."""
    start, end = piece.spans[-1]
    if not by_template and as_completion(row) is not None:
        return start, end
    content = row.turns[-1].content if row.turns else row.completion or ""
    for said in (content, content.strip()):
        if (at := piece.text.find(said, start, end)) >= 0:
            return start, at + len(said)
    raise HoldfastError(
        f"{row.origin}: the chat template writes the answer {content!r} in other words, so that its own tokens cannot "
        "be told from those of the template; pass raw=True, or score what ends the turn too (end=True)."
    )


def _ids(text: str, tokenizer: Tokenizer, by_template: bool) -> tuple[int, ...]:
    """Returns the ids of a text, with what the tokenizer puts before it by habit, but not with what it puts behind."""
    ids = [int(i) for i in tokenizer(text, add_special_tokens=not by_template, verbose=False)["input_ids"]]
    habit = not by_template and len(ids) > 0 and ids[-1] == tokenizer.eos_token_id
    return tuple(ids[:-1] if habit and not text.endswith(str(tokenizer.eos_token)) else ids)


def _shared(ids: Sequence[int], others: Sequence[int]) -> int:
    return next((k for k, (a, b) in enumerate(zip(others, ids, strict=False)) if a != b), min(len(others), len(ids)))
