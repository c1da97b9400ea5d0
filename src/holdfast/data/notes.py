"""Counts of what tokenisation left out, cut or rewrote, and sentences about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass
class Notes:
    """Counts of one preparation of rows.

    Attributes:
        rows: Rows given.
        examples: Examples made of them.
        empty_completion: Rows left out because they hold nothing to learn (the completion, assistant's turn or
            document is empty or missing).
        over_long: Rows longer than `max_length`, whether split, dropped or truncated.
        split: Documents cut into windows.
        dropped: Conversations and prompts with completions left out because of their length.
        rewritten: Conversations that became one example for each learned turn.
        plain_chat: Conversations written as "role: content" lines because no chat template was used.
        tokens: Tokens of the examples.
        supervised_tokens: Tokens that carry a loss.
        refused: Rows that the chat template cannot write.
        written: Prompts with completions kept unchanged because they begin with a special token.
        max_length: Most tokens of an example.
        first_refused: Origin of the first row that the template cannot write.
        why_refused: Why it cannot.
        first_written: Origin of the first prompt that begins with a special token.
        counts: Number of rows by a sentence about content that is left out or written in another form.
        first_empty: Origin of the first row with nothing to learn.
        first_long: Origin of the first row longer than `max_length`.
    """

    rows: int = 0
    examples: int = 0
    empty_completion: int = 0
    over_long: int = 0
    split: int = 0
    dropped: int = 0
    rewritten: int = 0
    plain_chat: int = 0
    tokens: int = 0
    supervised_tokens: int = 0
    refused: int = 0
    written: int = 0
    max_length: int = 0
    first_refused: str = ""
    why_refused: str = ""
    first_written: str = ""
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    first_empty: str = ""
    first_long: str = ""

    @property
    def truncated(self) -> int:
        """Returns the number of conversations and prompts with completions that lost their end (or later turns)."""
        return self.over_long - self.split - self.dropped

    def note_empty(self, origin: str) -> None:
        """Counts a row with nothing to learn."""
        self.empty_completion += 1
        self.first_empty = self.first_empty or origin

    def note_long(self, origin: str) -> None:
        """Counts a row that is longer than `max_length`."""
        self.over_long += 1
        self.first_long = self.first_long or origin

    def note_refused(self, origin: str, why: str) -> None:
        """Counts a row that the chat template cannot write."""
        self.refused += 1
        if not self.first_refused:
            self.first_refused, self.why_refused = origin, why

    def note_written(self, origin: str) -> None:
        """Counts a prompt that a template has already written."""
        self.written += 1
        self.first_written = self.first_written or origin

    def count(self, what: Iterable[str]) -> None:
        """Counts a row once under each of `what`."""
        for sentence in what:
            self.counts[sentence] = self.counts.get(sentence, 0) + 1

    def sentences(self) -> list[str]:
        """Returns a sentence for each kind of change; empty if nothing was changed."""
        sentences = [self._of_empty(), self._of_long(), self._of_refused(), self._of_written()]
        sentences += [f"In {self.of(count)}, {what}." for what, count in self.counts.items()]
        sentences += [self._of_rewritten(), self._of_plain()]
        return [sentence for sentence in sentences if sentence]

    def _of_empty(self) -> str:
        if not self.empty_completion:
            return ""
        have, were = ("have", "were") if self.empty_completion > 1 else ("has", "was")
        return (
            f"{self.of(self.empty_completion)} {have} nothing to learn (an empty completion, or no answer of the"
            f" assistant) and {were} left out{_first(self.first_empty)}."
        )

    def _of_long(self) -> str:
        if not self.over_long:
            return ""
        counts = (
            (self.truncated, "truncated"),
            (self.dropped, "left out"),
            (self.split, "split into windows"),
        )
        done = ", ".join(f"{count} {what}" for count, what in counts if count)
        are = "are" if self.over_long > 1 else "is"
        return f"{self.of(self.over_long)} {are} longer than {self.max_length} tokens: {done}{_first(self.first_long)}."

    def _of_refused(self) -> str:
        if not self.refused:
            return ""
        were = "were" if self.refused > 1 else "was"
        return f"{self.of(self.refused)} {were} left out, because {self.why_refused}{_first(self.first_refused)}."

    def _of_written(self) -> str:
        if not self.written:
            return ""
        begin, are, they = ("begin", "are", "they are") if self.written > 1 else ("begins", "is", "it is")
        return (
            f"{self.of(self.written)} {begin} with a special token, already written by a template, and {are} kept as "
            f"{they}{_first(self.first_written)}."
        )

    def _of_rewritten(self) -> str:
        if not self.rewritten:
            return ""
        became = "were written" if self.rewritten > 1 else "was written"
        return (
            f"{self.of(self.rewritten)} {became} once for each assistant's turn, because the chat template rewrites "
            "earlier turns when later ones follow."
        )

    def _of_plain(self) -> str:
        if not self.plain_chat:
            return ""
        became = "conversations were" if self.plain_chat > 1 else "conversation was"
        return f'{self.plain_chat} {became} written as plain "role: content" lines, because no chat template was used.'

    def of(self, count: int) -> str:
        """Returns a number of rows out of all rows, in words."""
        return f"{count} of {self.rows} row{'s' if self.rows > 1 else ''}"


def _first(origin: str) -> str:
    return f" (first: {origin})" if origin else ""
