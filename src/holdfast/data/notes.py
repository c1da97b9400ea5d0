"""What happened to the rows on their way to becoming examples, counted and in words."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass
class Notes:
    """Counts of one preparation of rows.

    Attributes:
        rows: Rows given.
        examples: Examples made of them.
        empty_completion: Rows left out because there is nothing in them to be learned (no or an empty completion,
            assistant's turn or document).
        over_long: Rows longer than `max_length`: those split, dropped and truncated.
        split: Documents cut into windows.
        dropped: Conversations and prompts with completions left out because of their length.
        rewritten: Conversations that became one example for each learned turn.
        plain_chat: Conversations written as "role: content" lines because no chat template was used.
        tokens: Tokens of the examples.
        supervised_tokens: Tokens of the examples that carry a loss.
        max_length: Most tokens of an example.
        first_empty: Origin of the first row with nothing to learn.
        first_long: Origin of the first row that was too long.
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
    max_length: int = 0
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

    def sentences(self) -> list[str]:
        """Returns what a user should be told, one sentence for each thing that happened; empty if nothing did."""
        said = []
        if self.empty_completion:
            have = (
                "have nothing to learn (an empty completion)"
                if self.empty_completion > 1
                else ("has nothing to learn (an empty completion)")
            )
            were = "were" if self.empty_completion > 1 else "was"
            said.append(f"{self._of(self.empty_completion)} {have} and {were} left out{_first(self.first_empty)}.")
        if self.over_long:
            done = [
                f"{count} {what}"
                for count, what in (
                    (self.truncated, "lost what is beyond"),
                    (self.dropped, "left out"),
                    (self.split, "split into windows"),
                )
                if count
            ]
            are = "are" if self.over_long > 1 else "is"
            said.append(
                f"{self._of(self.over_long)} {are} longer than {self.max_length} tokens: {', '.join(done)}"
                f"{_first(self.first_long)}."
            )
        if self.rewritten:
            became = "were written" if self.rewritten > 1 else "was written"
            said.append(
                f"{self._of(self.rewritten)} {became} once for each assistant's turn, because the chat template "
                "rewrites earlier turns when later ones follow."
            )
        if self.plain_chat:
            became = "conversations were" if self.plain_chat > 1 else "conversation was"
            said.append(
                f'{self.plain_chat} {became} written as plain "role: content" lines, because no chat template was used.'
            )
        return said

    def _of(self, count: int) -> str:
        return f"{count} of {self.rows} row{'s' if self.rows > 1 else ''}"


def _first(origin: str) -> str:
    return f" (first: {origin})" if origin else ""
