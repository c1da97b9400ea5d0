"""A row of training data as it was read, before tokenisation."""

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
        content: Its text.
        learned: Whether an assistant's turn carries a loss; False for context (the turns of a `prompt` that is a list
            of messages, or a message with `"weight": 0`).
        thought: The assistant's thought before the content (`reasoning_content`).
        calls: Tool calls, each `{"type": "function", "function": {"name": ..., "arguments": {...}}}`.
        keys: Further keys of the message that the chat template may read: `name`, `tool_call_id`.
    """

    role: str
    content: str
    learned: bool = True
    thought: str = ""
    calls: tuple[Mapping[str, Any], ...] = dataclasses.field(default=(), hash=False)
    keys: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)

    @property
    def said(self) -> str:
        """Returns the content followed by the calls, each as a line of JSON; without the thought."""
        calls = (json.dumps(call["function"], ensure_ascii=False) for call in self.calls)
        return "\n".join([*([self.content] if self.content or not self.calls else []), *calls])


@dataclasses.dataclass(frozen=True)
class Row:
    """A row: a conversation (`turns`), a `prompt` with its `completion`, or a document (`text`).

    Attributes:
        turns: The messages, in order; empty for the other two kinds.
        text: The document.
        prompt: The given text.
        completion: The learned text behind the prompt.
        joint: The text between prompt and completion if no chat template is used.
        origin: Where the row was read: "facts.jsonl:7".
        spans: Learned character ranges of a document that a template has already written and that gets no special
            tokens; None for a document that is learned in full.
        tools: Tools that the chat template receives with the conversation, as JSON schemas of functions.
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
        """Returns the kind of the row."""
        if self.turns:
            return "messages"
        return "text" if self.text is not None else "completion"

    @property
    def contents(self) -> tuple[str, ...]:
        """Returns the strings of the row in order, without roles; a turn gives its thought, content and calls."""
        if self.kind == "messages":
            return tuple(f"{turn.thought}\n{turn.said}" if turn.thought else turn.said for turn in self.turns)
        if self.text is not None:
            return (self.text,)
        return (self.prompt or "", self.completion or "")
