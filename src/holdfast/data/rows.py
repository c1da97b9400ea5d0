"""One row of training data as it was read, before any tokenizer has seen it."""

from __future__ import annotations

import dataclasses
import json
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
        thought: What the assistant thought before it said this (`reasoning_content`), apart from the content.
        calls: Calls of tools, each `{"type": "function", "function": {"name": ..., "arguments": {...}}}`.
        keys: What else the chat template may read of the message: `name`, `tool_call_id`.
    """

    role: str
    content: str
    learned: bool = True
    thought: str = ""
    calls: tuple[Mapping[str, Any], ...] = dataclasses.field(default=(), hash=False)
    keys: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)

    @property
    def said(self) -> str:
        """Returns the content with the calls behind it, each as a line of JSON; the thought is not part of it."""
        calls = (json.dumps(call["function"], ensure_ascii=False) for call in self.calls)
        return "\n".join([*([self.content] if self.content or not self.calls else []), *calls])


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
        spans: The character ranges of the document that are learned, where it was written by a template already and
            gets no special tokens; None for a document that is learned in full.
        tools: Tools that the chat template is given with the conversation, as JSON schemas of functions.
        settings: Further arguments of the chat template, such as `{"enable_thinking": False}`.
    """

    turns: tuple[Turn, ...] = ()
    text: str | None = None
    prompt: str | None = None
    completion: str | None = None
    joint: str = ""
    origin: str = ""
    spans: tuple[tuple[int, int], ...] | None = None
    tools: tuple[Mapping[str, Any], ...] = dataclasses.field(default=(), hash=False)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    @property
    def kind(self) -> Kind:
        """Returns which of the three kinds of row this is."""
        if self.turns:
            return "messages"
        return "text" if self.text is not None else "completion"

    @property
    def contents(self) -> tuple[str, ...]:
        """Returns the strings of the row in order, without roles: of a turn its thought, its content and its calls."""
        if self.kind == "messages":
            return tuple(f"{turn.thought}\n{turn.said}" if turn.thought else turn.said for turn in self.turns)
        if self.text is not None:
            return (self.text,)
        return (self.prompt or "", self.completion or "")
