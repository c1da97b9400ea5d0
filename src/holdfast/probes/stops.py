"""Where an answer ends, beside the tokens that end it: at the first of some strings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from holdfast.data.rendering import as_completion, uses_template
from holdfast.data.rows import ROLES, Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer


@dataclasses.dataclass(frozen=True)
class Stop:
    """What ends an answer; it is no part of it.

    Attributes:
        strings: The strings, any of which ends it.
        behind: Whether they end it only behind something that is said: white space before it does not count.
    """

    strings: tuple[str, ...] = ()
    behind: bool = False

    def at(self, text: str) -> int | None:
        """Returns the character at which a text ends; None if it goes on."""
        start = len(text) - len(text.lstrip()) if self.behind else 0
        found = [place for string in self.strings if (place := text.find(string, start)) >= 0]
        return min(found, default=None)


LINE = Stop(("\n",), behind=True)
"""A line break, behind something."""
PARAGRAPH = Stop(("\n\n",), behind=True)
"""A blank line, behind something."""
TURN = Stop(tuple(f"\n{role}:" for role in ROLES))
"""A line with which another turn begins, where turns are written as "role: content"."""


def usual(row: Row, tokenizer: Tokenizer, raw: bool, lines: bool = False) -> Stop | None:
    """Returns what ends an answer where nobody says; None where the tokens do that will.

    Through a chat template an answer ends with the token that ends a turn. A model that goes on with a prompt as it is
    does not know that it is asked: its answer ends with the line, or at a blank line if it may have several (`lines`).
    """
    if uses_template(tokenizer, raw):
        return None
    if as_completion(row) is None:
        return TURN
    return PARAGRAPH if lines else LINE


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reads what has been said so far.

    Attributes:
        stop: What ends it.
        tokenizer: The model's.
    """

    stop: Stop
    tokenizer: Tokenizer

    def ended(self, ids: Sequence[int]) -> bool:
        """Returns whether an answer has come to its end."""
        return bool(self.stop.strings) and self.stop.at(self._text(ids, special=True)) is not None

    def text(self, ids: Sequence[int]) -> str:
        """Returns what is said before the end."""
        said = self._text(ids, special=False)
        if (at := self.stop.at(said)) is not None:
            return said[:at]
        whole = self._text(ids, special=True)
        if (at := self.stop.at(whole)) is None:
            return said
        said = whole[:at]  # what ends it is a special token, or stands behind one
        for token in self.tokenizer.all_special_tokens:
            said = said.replace(str(token), "")
        return said

    def _text(self, ids: Sequence[int], special: bool) -> str:
        # Without this, blanks before punctuation would be lost with some tokenizers.
        options = {"skip_special_tokens": not special, "clean_up_tokenization_spaces": False}
        return str(self.tokenizer.decode(list(ids), **options))


Ended = Callable[[int], None]
"""Told the number of each prompt that is answered."""
