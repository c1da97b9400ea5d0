"""The choices of a public benchmark's record and which of them is right, in the many ways they are written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.core.errors import HoldfastError

_LISTS = ("choices", "options", "endings", "Choices", "answers")
_COLUMNS = (
    ("A", "B", "C", "D", "E", "F"),
    ("opa", "opb", "opc", "opd"),
    ("option_a", "option_b", "option_c", "option_d", "option_e"),
    ("option1", "option2", "option3", "option4"),
    ("choice1", "choice2", "choice3", "choice4"),
)
_ANSWERS = (
    "answerKey",
    "answer_idx",
    "answer_index",
    "gold",
    "cop",
    "label",
    "answer",
    "target",
    "correct",
    "correct_answer",
    "Answer Key",
    "Answer",
)


def text_in(record: Mapping[str, Any], *names: str) -> str:
    """Returns the first of some fields that is a text, also where it stands in `question.stem`; "" if none is."""
    for name in names:
        value = record.get(name)
        if isinstance(value, Mapping):
            value = value.get("stem", value.get("text"))
        if isinstance(value, str) and value.strip():
            return value
    return ""


def options_of(record: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Returns the labels of the choices of a record ("A", "1"; empty if it has none) and their texts.

    Raises:
        HoldfastError: If it has no choices.
    """
    question = record.get("question")
    inside = question.get("choices") if isinstance(question, Mapping) else None
    for value in (inside, *(record.get(name) for name in _LISTS)):
        found = _options(value)
        if len(found[1]) > 1:
            return found
    for columns in _COLUMNS:
        given = [str(record[name]) for name in columns if record.get(name) not in (None, "")]
        if len(given) > 1:
            return [name[-1:].upper() for name in columns[: len(given)]], given
    raise HoldfastError("has no choices")


def _options(value: Any) -> tuple[list[str], list[str]]:
    if isinstance(value, str):  # "(A) fish (B) birds", in OpenBookQA's own tables
        pairs = re.findall(r"\(([A-Z1-9])\)\s*(.*?)\s*(?=\([A-Z1-9]\)|$)", value, re.DOTALL)
        return [label for label, _ in pairs], [text for _, text in pairs]
    if isinstance(value, Mapping):
        return _by_label(value)
    if not isinstance(value, Sequence):
        return [], []
    if all(isinstance(one, Mapping) and "text" in one for one in value):
        return [str(one.get("label", one.get("key", ""))) for one in value], [str(one["text"]) for one in value]
    if all(isinstance(one, (str, int, float)) and not isinstance(one, bool) for one in value):
        return [], [str(one) for one in value]
    return [], []


def _by_label(value: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Returns labels and texts of choices that stand in columns, or by their labels."""
    if isinstance(value.get("text"), Sequence) and not isinstance(value["text"], str):
        return [str(label) for label in value.get("label", [])], [str(text) for text in value["text"]]
    if all(isinstance(text, str) for text in value.values()):  # {"A": "fish", "B": "birds"}
        return [str(label) for label in value], list(value.values())
    return [], []


def answer_in(record: Mapping[str, Any]) -> Any:
    """Returns what a record says is right: a label, a text or a number; None if it says nothing."""
    return next((record[name] for name in _ANSWERS if record.get(name) not in (None, "", -1, "-1")), None)


def right_of(record: Mapping[str, Any], labels: Sequence[str], texts: Sequence[str], from_one: bool) -> int | None:
    """Returns the place of the right choice, or None where the record says nothing that fits.

    A text is compared with the labels and the texts first, and is a number or a letter otherwise.

    Args:
        record: The record.
        labels: Labels of its choices, if they have any.
        texts: Its choices.
        from_one: Whether numbers count the choices from 1.
    """
    answer = answer_in(record)
    if answer is None or isinstance(answer, (list, dict)):
        return None
    if isinstance(answer, bool):
        answer = int(answer)
    said = str(answer).strip()
    if said in labels:
        return list(labels).index(said)
    if isinstance(answer, str) and said in texts:
        return list(texts).index(said)
    if re.fullmatch(r"\(?[A-Za-z]\)?\.?", said):
        place = ord(said.strip("().").upper()) - ord("A")
    elif re.fullmatch(r"\d+(\.0)?", said):
        place = int(float(said)) - from_one
    else:
        return None
    return place if 0 <= place < len(texts) else None


def counts_from_one(records: Sequence[Mapping[str, Any]]) -> bool:
    """Returns whether the numbers of right choices count from 1: none is 0, and one is the number of its choices."""
    top = False
    for record in records:
        answer = answer_in(record)
        if isinstance(answer, bool) or not re.fullmatch(r"\d+(\.0)?", str(answer).strip()):
            continue
        place = int(float(str(answer)))
        if place == 0:
            return False
        try:
            top = top or place == len(options_of(record)[1])
        except HoldfastError:
            top = top or (place == 2 and ("sol2" in record or "choice2" in record))
    return top
