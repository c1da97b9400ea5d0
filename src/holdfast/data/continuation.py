"""Finds the tokens of an answer behind its prompt, without the tokens that end a turn or a text."""

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
    """A prompt and its continuation.

    Attributes:
        ids: Token ids of both, tokenised together.
        start: Number of tokens that belong to the prompt alone.
    """

    ids: tuple[int, ...]
    start: int


def continuation(row: Row, tokenizer: Tokenizer, *, raw: bool = False) -> Continuation:
    """Returns the tokens of a row up to the last character of its last answer, and the index of the answer's first.

    The tokens that end a turn or a text are left out. Without a chat template, white space at the end of a prompt
    belongs to the answer, because tokenizers write it into the next token (as in lm-eval's `_encode_pair`).

    Args:
        row: A conversation that ends with the assistant, a prompt with its completion, or a document, which counts as
            an answer throughout.
        tokenizer: A Hugging Face tokenizer.
        raw: Whether to leave the chat template unused.

    Raises:
        HoldfastError: The chat template refuses the conversation or changes the words of the answer; names the row.
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
    """Returns the character range (start, end) of the last answer in a text."""
    start, end = piece.spans[-1]
    if not by_template and as_completion(row) is not None:
        return start, end
    content = row.turns[-1].content if row.turns else row.completion or ""
    for written in (content, content.strip()):
        if (at := piece.text.find(written, start, end)) >= 0:
            return start, at + len(written)
    raise HoldfastError(
        f"{row.origin}: the chat template changes the words of the answer {content!r}, so its tokens cannot be told "
        "from those of the template; pass raw=True, or also score the tokens that end the turn (end=True)."
    )


def _ids(text: str, tokenizer: Tokenizer, by_template: bool) -> tuple[int, ...]:
    """Returns the ids of a text with the special token that the tokenizer puts before it, but not the one behind it."""
    ids = [int(i) for i in tokenizer(text, add_special_tokens=not by_template, verbose=False)["input_ids"]]
    habit = not by_template and len(ids) > 0 and ids[-1] == tokenizer.eos_token_id
    return tuple(ids[:-1] if habit and not text.endswith(str(tokenizer.eos_token)) else ids)


def _shared(ids: Sequence[int], others: Sequence[int]) -> int:
    return next((k for k, (a, b) in enumerate(zip(others, ids, strict=False)) if a != b), min(len(others), len(ids)))
