"""The fields of rows and messages that the tools people come from write, and what becomes of each here.

One table for TRL, axolotl, LLaMA-Factory, ms-swift, OpenAI's fine-tuning files, ShareGPT, and sets of preferences (DPO
and KTO). What reads rows takes every name from here; a field in no line of the table is counted and named in a note.
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
"""What a field of a row is for."""


@dataclasses.dataclass(frozen=True)
class Field:
    """Fields of a row that mean the same.

    Attributes:
        part: What they are for.
        names: What the tools call them; where a row has several, the first counts.
        tools: Tools whose sets have them.
        does: What becomes of them.
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
        "given to the template; said where it does not read them",
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
"""What becomes of the fields of a row."""

ASKED = ("human", "user", "query", "question", "prompt", "instruction", "input")
ANSWERED = ("assistant", "gpt", "response", "answer", "completion", "output")
"""Keys of which one of each makes a message without a role a question with its answer."""

THOUGHTS = ("reasoning_content", "thinking", "reasoning", "thought")
"""Keys of a message that hold what the assistant thought; the template is given the one that it reads."""

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
"""Keys of a message that say, by true or 1, that its turn is learned, and by false or 0 that it is context."""

LEARNED_WHERE_FALSE = ("masked", "mask", "is_masked", "ignore")
"""Keys of a message that say, by true or 1, that its turn is context."""

PARTLY_LEARNED = "train_detail"
"""A key of axolotl's messages that marks parts of a turn, which is refused."""

PASSED_ON = ("name", "tool_call_id")
"""Keys of a message that the chat template is given as they are."""

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
"""The role that each name of one stands for, in lower case with underscores."""

CALLING_ROLES = ("function_call", "function_calls", "tool_call", "tool_calls")
"""Roles whose content is a call of a tool, or several, as JSON."""


def names_of(part: Part) -> tuple[str, ...]:
    """Returns what the tools call the fields of a part, the first that counts first."""
    return next(field.names for field in FIELDS if field.part == part)


def column(names: Collection[str], part: Part) -> str | None:
    """Returns the field among `names` that is for `part`; None if there is none."""
    return next((name for name in names_of(part) if name in names), None)


def all_names() -> Iterable[str]:
    """Returns every name in the table."""
    return (name for field in FIELDS for name in field.names)


def flag_of(value: object) -> bool | None:
    """Returns what a field says that is true or false, also as 0 and 1 or in words; None if it is neither."""
    if isinstance(value, (bool, int, float)):
        return bool(value) if value in (0, 1) else None
    words = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
    return words.get(value.strip().lower()) if isinstance(value, str) else None


def is_empty(value: object) -> bool:
    """Returns whether a field says nothing: null, or an empty text, list or mapping."""
    return value is None or (isinstance(value, (str, list, tuple, dict)) and len(value) == 0)
