"""The context of a conversation in other fields of a row: system message, earlier turns, tools, template settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.core.errors import HoldfastError
from holdfast.data.fields import Part, is_empty, names_of
from holdfast.data.messages import called, is_list, looks_like_messages, parsed, string, tools_from, turns_from
from holdfast.data.rows import Row, Turn
from holdfast.data.source_notes import SourceNotes

_NEVER_SETTINGS = ("tokenize", "add_generation_prompt", "continue_final_message", "return_dict", "return_tensors")


@dataclasses.dataclass(frozen=True)
class Context:
    """The context of a conversation.

    Attributes:
        system: The system message from a field of its own; at most one turn.
        earlier: Turns that precede those of the row.
        tools: As for `Row`.
        settings: As for `Row`.
        used: Names of the fields that hold the context.
    """

    system: tuple[Turn, ...] = ()
    earlier: tuple[Turn, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    used: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Returns whether the row has any context."""
        return bool(self.system or self.earlier or self.tools or self.settings)

    def row(self, turns: Sequence[Turn], origin: str) -> Row:
        """Returns the row with this context before `turns`.

        Raises:
            HoldfastError: `turns` begin with another system message.
        """
        system = self.system
        if system and turns and turns[0].role == "system":
            if turns[0].content.strip() != system[0].content.strip():
                raise HoldfastError(
                    f"{origin}: has one system message in its own field and another in the conversation; keep one."
                )
            system = ()
        whole = (*system, *self.earlier, *turns)
        return Row(turns=whole, origin=origin, tools=self.tools, settings=self.settings)


def context_from(record: Mapping[str, Any], origin: str, seen: SourceNotes) -> Context:
    """Returns the context of a row.

    Raises:
        HoldfastError: A field is malformed; the message names row and field.
    """
    names: dict[Part, str] = {}
    parts: tuple[Part, ...] = ("system", "history", "tools", "settings")
    for part in parts:
        name = next((name for name in names_of(part) if not is_empty(record.get(name))), None)
        if name is not None:
            names[part] = name
    settings = _settings(record[names["settings"]], names["settings"], origin, seen) if "settings" in names else {}
    if "tools" in names and "tools" in settings:
        raise HoldfastError(
            f"{origin}: has tools in their own field ('{names['tools']}') and others in '{names['settings']}';"
            " keep one."
        )
    system = string(record[names["system"]], names["system"], origin) if "system" in names else ""
    return Context(
        system=(Turn("system", system, False),) if system.strip() else (),
        earlier=_history(record[names["history"]], names["history"], origin, seen) if "history" in names else (),
        tools=tools_from(record[names["tools"]], names["tools"], origin) if "tools" in names else (),
        settings=settings,
        used=frozenset(names.values()),
    )


def _history(value: Any, name: str, origin: str, seen: SourceNotes) -> tuple[Turn, ...]:
    value = parsed(value, name, seen)
    seen.say(f"the answers in '{name}' are also learned")
    listed = value if is_list(value) else [value]
    if all(isinstance(turn, Mapping) for turn in listed):
        return turns_from(listed, name, origin, seen)
    turns: list[Turn] = []
    for i, pair in enumerate(listed):
        if looks_like_messages(pair):
            turns += turns_from(pair, f"{name}[{i}]", origin, seen)
            continue
        if not (is_list(pair) and len(pair) == 2):
            raise HoldfastError(
                f"{origin}: field '{name}[{i}]' is {called(pair)}, but must be a pair [question, answer]; use such"
                " pairs throughout, or mappings throughout."
            )
        for role, content in zip(("user", "assistant"), pair, strict=True):
            turns.append(Turn(role, string(content, f"{name}[{i}]", origin)))
    return tuple(turns)


def _settings(value: Any, name: str, origin: str, seen: SourceNotes) -> Mapping[str, Any]:
    value = parsed(value, name, seen)
    if not isinstance(value, Mapping) or any(key in value for key in _NEVER_SETTINGS):
        raise HoldfastError(
            f"{origin}: field '{name}' must be a mapping of arguments of the chat template, without "
            f"{', '.join(_NEVER_SETTINGS)}."
        )
    return dict(value)
