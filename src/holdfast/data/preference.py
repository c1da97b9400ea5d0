"""Preference data: pairs of a chosen and a rejected answer (DPO), and answers marked as desired or not (KTO)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from holdfast.core.errors import HoldfastError
from holdfast.data.fields import column, flag_of, is_empty, names_of
from holdfast.data.messages import called, is_list, looks_like_messages, parsed, string, turns_from
from holdfast.data.rows import Turn
from holdfast.data.source_notes import SourceNotes

Preference = Literal["refuse", "chosen"]
"""Whether rows with a chosen and a rejected answer are refused, or the chosen answer is learned."""

HINT = "give --preference chosen (preference='chosen') to learn the chosen answers"


@dataclasses.dataclass(frozen=True)
class Pair:
    """The chosen answer of a row, as turns or as text.

    Attributes:
        turns: The chosen turns, with the turns before them if the field holds the whole conversation.
        whole: Whether `turns` include the question.
        asked: The prompt as text, if only the answers contain it.
        text: The chosen answer as text.
    """

    turns: tuple[Turn, ...] = ()
    whole: bool = False
    asked: str = ""
    text: str = ""


def is_preference(record: Mapping[str, Any]) -> bool:
    """Returns whether a row has a chosen or a rejected answer that is not empty."""
    names = [name for name, value in record.items() if _is_answer(value)]
    return column(names, "chosen") is not None or column(names, "rejected") is not None


def _is_answer(value: Any) -> bool:
    return not is_empty(value) and (isinstance(value, (str, Mapping)) or is_list(value))


def check(record: Mapping[str, Any], preference: str, origin: str) -> None:
    """Refuses a row of preferences unless the caller chose which answer is learned.

    Raises:
        HoldfastError: `preference` is not "chosen".
    """
    if preference == "chosen":
        return
    answers = [name for name in (*names_of("chosen"), *names_of("rejected")) if _is_answer(record.get(name))]
    raise HoldfastError(
        f"{origin}: is a preference ({', '.join(map(repr, answers))}), and no setting says which answer to learn; "
        f"{HINT}, or name a file of examples."
    )


def chosen_of(record: Mapping[str, Any], origin: str, seen: SourceNotes) -> Pair | None:
    """Returns the chosen answer of a row; None if the row's own answer is the chosen one (ms-swift)."""
    name = _answering(record, "chosen")
    if name is None:
        return None
    chosen: Any = parsed(record[name], name, seen)
    other = _answering(record, "rejected")
    rejected: Any = parsed(record[other], other, seen) if other else None
    if isinstance(chosen, Mapping):
        chosen, rejected = [chosen], [rejected] if isinstance(rejected, Mapping) else rejected
    if looks_like_messages(chosen):
        turns = turns_from(chosen, name, origin, seen)
        if not any(turn.role == "user" for turn in turns):
            return Pair(turns=turns)
        others = turns_from(rejected, str(other), origin, SourceNotes("")) if looks_like_messages(rejected) else ()
        return Pair(turns=_learned_from(turns, _shared(turns, others) or len(turns) - 1), whole=True)
    if _is_single(chosen) and isinstance(chosen[0], str):
        chosen, rejected = chosen[0], rejected[0] if _is_single(rejected) else rejected
    if not isinstance(chosen, str):
        raise HoldfastError(f"{origin}: field '{name}' is {called(chosen)}, but must be a string or messages.")
    text = string(chosen, name, origin)
    return Pair(asked=_shared_text(text, rejected) if isinstance(rejected, str) else "", text=text)


def _answering(record: Mapping[str, Any], part: Literal["chosen", "rejected"]) -> str | None:
    """Returns the field that holds the chosen or the rejected answer."""
    return next((name for name in names_of(part) if _is_answer(record.get(name))), None)


def _is_single(value: Any) -> bool:
    return is_list(value) and len(value) == 1


def _learned_from(turns: Sequence[Turn], start: int) -> tuple[Turn, ...]:
    return tuple(dataclasses.replace(turn, learned=turn.learned and i >= start) for i, turn in enumerate(turns))


def _shared(turns: Sequence[Turn], other: Sequence[Turn]) -> int:
    """Returns the number of turns with which both conversations begin."""
    shared = 0
    while shared < min(len(turns), len(other)) and (turns[shared].role, turns[shared].said) == (
        other[shared].role,
        other[shared].said,
    ):
        shared += 1
    return shared


def _shared_text(text: str, other: str) -> str:
    """Returns the common beginning of two texts, up to its last white space so that no word is cut."""
    length = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other)))
    end = max((i for i, letter in enumerate(text[:length]) if letter.isspace()), default=-1)
    return text[: end + 1].rstrip(" ")


def labels_of(records: Sequence[tuple[str, Any]]) -> str | None:
    """Returns the field that says for every row whether its answer is desired, or None.

    A field called `label` counts only if it is true or false (or 1 or 0) in every row.
    """
    rows = [record for _, record in records if isinstance(record, Mapping)]
    for name in names_of("label"):
        given = [row[name] for row in rows if not is_empty(row.get(name))]
        if given and all(flag_of(value) is not None for value in given):
            return name
    return None
