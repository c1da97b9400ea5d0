"""One row of training data as it was read, before any tokenizer has seen it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal["messages", "completion", "text"]

ROLES = ("system", "developer", "user", "assistant", "tool")
"""The roles that a turn may have."""


@dataclasses.dataclass(frozen=True)
class Turn:
    """One message of a conversation.

    Attributes:
        role: One of `ROLES`.
        content: What was said.
        learned: Whether an assistant's turn carries a loss; False for turns that are only context (the prompt part of
            a row whose `prompt` is a list of messages, or a message with `"weight": 0`).
    """

    role: str
    content: str
    learned: bool = True


@dataclasses.dataclass(frozen=True)
class Row:
    """One row: a conversation (`turns`), a `prompt` with its `completion`, or a document (`text`).

    Attributes:
        turns: The messages, in order; empty for the other two kinds.
        text: The document.
        prompt: What is given.
        completion: What is to be learned, given the prompt.
        joint: What stands between prompt and completion where no chat template is used.
        origin: Where the row was read: "facts.jsonl:7".
        tools: Tools that the chat template is given with the conversation, as JSON schemas of functions.
    """

    turns: tuple[Turn, ...] = ()
    text: str | None = None
    prompt: str | None = None
    completion: str | None = None
    joint: str = ""
    origin: str = ""
    tools: tuple[Mapping[str, Any], ...] = dataclasses.field(default=(), hash=False)

    @property
    def kind(self) -> Kind:
        """Returns which of the three kinds of row this is."""
        if self.turns:
            return "messages"
        return "text" if self.text is not None else "completion"

    @property
    def contents(self) -> tuple[str, ...]:
        """Returns the strings of the row in order, without roles."""
        if self.kind == "messages":
            return tuple(turn.content for turn in self.turns)
        if self.text is not None:
            return (self.text,)
        return (self.prompt or "", self.completion or "")
