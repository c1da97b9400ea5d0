"""Strings that end an answer, besides the tokens that end it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast.data.rendering import as_completion, uses_template
from holdfast.data.rows import ROLES, Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer


@dataclasses.dataclass(frozen=True)
class Stop:
    """Strings that end an answer, which does not contain them.

    Attributes:
        strings: The strings; the first to occur ends the answer.
        behind: Whether leading white space of the answer is skipped before the search.
    """

    strings: tuple[str, ...] = ()
    behind: bool = False

    def at(self, text: str) -> int | None:
        """Returns the character at which a text ends; None if it continues."""
        start = len(text) - len(text.lstrip()) if self.behind else 0
        places = [place for string in self.strings if (place := text.find(string, start)) >= 0]
        return min(places, default=None)


LINE = Stop(("\n",), behind=True)
"""A line break behind other text."""
PARAGRAPH = Stop(("\n\n",), behind=True)
"""A blank line behind other text."""
TURN = Stop(tuple(f"\n{role}:" for role in ROLES))
"""A line that begins another turn, if turns are written as "role: content"."""


def usual(row: Row, tokenizer: Tokenizer, raw: bool, lines: bool = False) -> Stop | None:
    """Returns the usual stop of an answer; None if a token ends it.

    With a chat template, the token at the end of a turn ends an answer. A model that continues a plain prompt writes no
    such token: its answer ends with the line, or at a blank line if it may have several lines (`lines`).
    """
    if uses_template(tokenizer, raw):
        return None
    if as_completion(row) is None:
        return TURN
    return PARAGRAPH if lines else LINE


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reads an answer while it is generated.

    Attributes:
        stop: The stop of the answer.
        tokenizer: The tokenizer of the model.
    """

    stop: Stop
    tokenizer: Tokenizer

    def ended(self, ids: Sequence[int]) -> bool:
        """Returns whether an answer has ended."""
        return bool(self.stop.strings) and self.stop.at(self._text(ids, special=True)) is not None

    def text(self, ids: Sequence[int]) -> str:
        """Returns the answer up to its stop, without special tokens."""
        text = self._text(ids, special=False)
        if (at := self.stop.at(text)) is not None:
            return text[:at]
        whole = self._text(ids, special=True)
        if (at := self.stop.at(whole)) is None:
            return text
        text = whole[:at]  # the stop is a special token or follows one
        for token in self.tokenizer.all_special_tokens:
            text = text.replace(str(token), "")
        return text

    def _text(self, ids: Sequence[int], special: bool) -> str:
        # Some tokenizers would otherwise remove blanks before punctuation.
        options = {"skip_special_tokens": not special, "clean_up_tokenization_spaces": False}
        return str(self.tokenizer.decode(list(ids), **options))
