"""The fields of rows and messages that other tools write, and what holdfast does with each.

One table covers TRL, axolotl, LLaMA-Factory, ms-swift, OpenAI's fine-tuning files, ShareGPT, and preference data (DPO
and KTO). The readers take every name from this table; a note counts and names every field that is not in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from typing import Literal

Part = Literal[
    "conversation",
    "instruction",
    "prompt",
    "completion",
    "text",
    "segments",
    "input",
    "system",
    "history",
    "tools",
    "settings",
    "chosen",
    "rejected",
    "label",
    "weight",
    "media",
    "tokens",
]
"""The purpose of a field of a row."""


@dataclasses.dataclass(frozen=True)
class Field:
    """Fields of a row with the same meaning.

    Attributes:
        part: Their purpose.
        names: Their names in other tools; if a row has several, the first counts.
        tools: Tools that write them.
        does: What holdfast does with them.
    """

    part: Part
    names: tuple[str, ...]
    tools: str
    does: str


FIELDS = (
    Field(
        "conversation",
        ("messages", "conversations", "conversation", "dialog"),
        "TRL, OpenAI, axolotl, ms-swift, LLaMA-Factory, ShareGPT",
        "read as turns; JSON as text is parsed",
    ),
    Field("instruction", ("instruction",), "Alpaca, LLaMA-Factory, ms-swift, axolotl", "the user's turn"),
    Field(
        "prompt",
        ("prompt", "question", "query", "_prompt", "inputs_pretokenized", "inputs"),
        "TRL, OpenAI, ms-swift, LLaMA-Factory, FLAN, P3",
        "given",
    ),
    Field(
        "completion",
        ("completion", "response", "answer", "output", "_response", "targets_pretokenized", "targets"),
        "TRL, OpenAI, Alpaca, ms-swift, LLaMA-Factory, FLAN, P3",
        "learned; without a prompt beside it, a 'completion' is a document",
    ),
    Field("text", ("text",), "TRL, axolotl, LLaMA-Factory", "a document, learned in full"),
    Field("segments", ("segments",), "axolotl (input_output)", "written as it stands; those labelled true are learned"),
    Field("input", ("input", "context"), "Alpaca, Dolly, SQuAD", "appended to the prompt after a blank line"),
    Field(
        "system",
        ("system", "system_prompt", "system_message", "_system"),
        "LLaMA-Factory, ms-swift, axolotl, OpenOrca",
        "the first message",
    ),
    Field(
        "history",
        ("history",),
        "LLaMA-Factory, ms-swift",
        "earlier turns, whose answers are learned too: pairs, questions with their answers, or messages",
    ),
    Field(
        "tools",
        ("tools", "functions", "_tools"),
        "TRL, OpenAI, LLaMA-Factory, ms-swift",
        "given to the template; a note says if it does not read them",
    ),
    Field("settings", ("chat_template_kwargs",), "TRL", "given to the template; those that it does not read are named"),
    Field(
        "chosen",
        ("chosen", "chosen_response", "chosen_messages", "preferred_output", "response_j"),
        "TRL, axolotl, LLaMA-Factory, OpenAI, ms-swift",
        "refused; learned with --preference chosen",
    ),
    Field(
        "rejected",
        (
            "rejected",
            "rejected_response",
            "rejected_messages",
            "non_preferred_output",
            "response_k",
            "rejected_images",
            "rejected_tools",
        ),
        "TRL, axolotl, LLaMA-Factory, OpenAI, ms-swift",
        "refused; left aside with --preference chosen",
    ),
    Field(
        "label",
        ("kto_tag", "label", "_kto_tag", "is_desirable", "desirable"),
        "TRL, LLaMA-Factory, axolotl, ms-swift (KTO)",
        "rows that are false are left out; named in a note where it is neither true nor false throughout",
    ),
    Field(
        "weight",
        ("weight", "sample_weight", "loss_weight"),
        "axolotl, ms-swift",
        "rows of weight 0 are left out, below 0 refused; other weights are named in a note",
    ),
    Field(
        "media",
        (
            "images",
            "image",
            "videos",
            "video",
            "audios",
            "audio",
            "pixel_values",
            "_images",
            "_videos",
            "_audios",
        ),
        "TRL, LLaMA-Factory, ms-swift",
        "refused beside a conversation or a prompt: only text can be learned",
    ),
    Field("tokens", ("input_ids",), "TRL, axolotl", "refused where there is nothing else: texts are tokenised here"),
)
"""The fields of a row and their use."""

ASKED = ("human", "user", "query", "question", "prompt", "instruction", "input")
ANSWERED = ("assistant", "gpt", "response", "answer", "completion", "output")
"""Keys of a message without a role: one of each makes it a question with its answer."""

THOUGHTS = ("reasoning_content", "thinking", "reasoning", "thought")
"""Keys of a message that hold the thoughts of the assistant; the template receives the key that it reads."""

LEARNED_WHERE_TRUE = (
    "weight",
    "train",
    "training",
    "trainable",
    "loss",
    "loss_weight",
    "loss_scale",
    "loss_mask",
    "unmask",
    "unmasked",
    "learn",
    "learned",
    "supervised",
)
"""Keys of a message whose value true or 1 means that the turn is learned, and false or 0 that it is context."""

LEARNED_WHERE_FALSE = ("masked", "mask", "is_masked", "ignore")
"""Keys of a message whose value true or 1 means that the turn is context."""

PARTLY_LEARNED = "train_detail"
"""A key of axolotl's messages that marks parts of a turn, which is refused."""

PASSED_ON = ("name", "tool_call_id")
"""Keys of a message that the chat template receives unchanged."""

ROLE_NAMES = {
    "system": "system",
    "system_prompt": "system",
    "developer": "developer",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "function_call": "assistant",
    "function_calls": "assistant",
    "tool_call": "assistant",
    "tool_calls": "assistant",
    "tool": "tool",
    "tools": "tool",
    "observation": "tool",
    "function": "tool",
    "function_response": "tool",
    "function_result": "tool",
    "tool_response": "tool",
    "tool_result": "tool",
    "tool_output": "tool",
    "ipython": "tool",
    "environment": "tool",
}
"""The role that each name stands for; names are in lower case with underscores."""

CALLING_ROLES = ("function_call", "function_calls", "tool_call", "tool_calls")
"""Roles whose content is one or several tool calls as JSON."""


def names_of(part: Part) -> tuple[str, ...]:
    """Returns the names of the fields of a part, in the order in which they count."""
    return next(field.names for field in FIELDS if field.part == part)


def column(names: Collection[str], part: Part) -> str | None:
    """Returns the field among `names` that serves as `part`, or None."""
    return next((name for name in names_of(part) if name in names), None)


def all_names() -> Iterable[str]:
    """Returns every name in the table."""
    return (name for field in FIELDS for name in field.names)


def flag_of(value: object) -> bool | None:
    """Returns the truth value of a field, also if it is written as 0, 1 or a word; None for any other value."""
    if isinstance(value, (bool, int, float)):
        return bool(value) if value in (0, 1) else None
    words = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
    return words.get(value.strip().lower()) if isinstance(value, str) else None


def is_empty(value: object) -> bool:
    """Returns whether a field is empty: null, or an empty text, list or mapping."""
    return value is None or (isinstance(value, (str, list, tuple, dict)) and len(value) == 0)
