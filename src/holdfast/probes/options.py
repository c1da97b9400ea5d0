"""Reads the choices of a benchmark's record, and which of them is right, in the many forms that sets use."""

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
_PLACES = ("answerKey", "answer_idx", "answer_index", "gold", "cop", "label")
"""Those that hold the place of a choice if they hold a number."""


def text_in(record: Mapping[str, Any], *names: str) -> str:
    """Returns the first of the fields that holds a text, also as `question.stem`; "" if none does."""
    for name in names:
        value = record.get(name)
        if isinstance(value, Mapping):
            value = value.get("stem", value.get("text"))
        if isinstance(value, str) and value.strip():
            return value
    return ""


def options_of(record: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Returns the labels of a record's choices ("A", "1"; empty without labels) and their texts.

    Raises:
        HoldfastError: The record has no choices.
    """
    question = record.get("question")
    inside = question.get("choices") if isinstance(question, Mapping) else None
    for value in (inside, *(record.get(name) for name in _LISTS)):
        labels_and_texts = _options(value)
        if len(labels_and_texts[1]) > 1:
            return labels_and_texts
    for columns in _COLUMNS:
        given = [name for name in columns if record.get(name) not in (None, "")]
        if len(given) > 1:
            return _labels(columns, given), [str(record[name]) for name in given]
    raise HoldfastError("has no choices")


def _labels(columns: Sequence[str], given: Sequence[str]) -> list[str]:
    """Returns the letters of columns that are filled in; none for numbers, which may count the choices from 0 instead.

    Raises:
        HoldfastError: A column before the last one is empty, so that a number says nothing.
    """
    if not columns[0][-1].isdigit():
        return [name[-1:].upper() for name in given]
    if gap := next((name for name, filled in zip(columns, given, strict=False) if name != filled), ""):
        raise HoldfastError(f"its field '{gap}' is empty, and a later one is not")
    return []


def _options(value: Any) -> tuple[list[str], list[str]]:
    if isinstance(value, str):  # "(A) fish (B) birds", in OpenBookQA's own tables
        pairs = re.findall(r"\(([A-Z1-9])\)\s*(.*?)\s*(?=\([A-Z1-9]\)|$)", value, re.DOTALL)
        return [label for label, _ in pairs], [text for _, text in pairs]
    if isinstance(value, Mapping):
        return _by_label(value)
    if not isinstance(value, Sequence):
        return [], []
    if all(isinstance(choice, Mapping) and "text" in choice for choice in value):
        return [str(choice.get("label", choice.get("key", ""))) for choice in value], [
            str(choice["text"]) for choice in value
        ]
    if all(isinstance(choice, (str, int, float)) and not isinstance(choice, bool) for choice in value):
        return [], [str(choice) for choice in value]
    return [], []


def _by_label(value: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Returns labels and texts of choices given as two columns, or as a mapping from labels to texts."""
    if isinstance(value.get("text"), Sequence) and not isinstance(value["text"], str):
        return [str(label) for label in value.get("label", [])], [str(text) for text in value["text"]]
    if all(isinstance(text, str) for text in value.values()):  # {"A": "fish", "B": "birds"}
        return [str(label) for label in value], list(value.values())
    return [], []


def answer_in(record: Mapping[str, Any]) -> Any:
    """Returns the right answer of a record: a label, a text or a number; None if it has none."""
    return next((record[name] for name in _ANSWERS if record.get(name) not in (None, "", -1, "-1")), None)


def right_of(record: Mapping[str, Any], labels: Sequence[str], texts: Sequence[str], from_one: bool) -> int | None:
    """Returns the index of the right choice, or None if the record's answer fits no choice.

    The answer is compared with the labels, then with the texts, and is read as a letter or a number last.

    Args:
        record: The record.
        labels: Labels of its choices; may be empty.
        texts: Texts of its choices.
        from_one: Whether numbers count the choices from 1.

    Raises:
        HoldfastError: Choices and answer are numbers and not texts, so that the answer may be a choice or its place.
    """
    answer = answer_in(record)
    if answer is None or isinstance(answer, (list, dict)):
        return None
    if isinstance(answer, bool):
        answer = int(answer)
    if _is_unclear(record, answer):
        raise HoldfastError(
            f"its choices are numbers, and its answer {answer} may be one of them or its place; write all as texts, or"
            " the place as 'answer_idx'"
        )
    answer_text = str(answer).strip()
    if answer_text in labels:
        return list(labels).index(answer_text)
    if isinstance(answer, str) and answer_text in texts:
        return list(texts).index(answer_text)
    if re.fullmatch(r"\(?[A-Za-z]\)?\.?", answer_text):
        place = ord(answer_text.strip("().").upper()) - ord("A")
    elif re.fullmatch(r"\d+(\.0)?", answer_text):
        place = int(float(answer_text)) - from_one
    else:
        return None
    return place if 0 <= place < len(texts) else None


def _is_unclear(record: Mapping[str, Any], answer: Any) -> bool:
    """Returns whether an answer and the choices are numbers, and no name of the field says that it is a place."""
    by_place = any(record.get(name) not in (None, "", -1, "-1") for name in _PLACES)
    choices = next((record[name] for name in _LISTS if record.get(name)), None)
    return not by_place and isinstance(choices, list) and all(map(_is_number, (*choices, answer)))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_numbered(record: Mapping[str, Any]) -> bool:
    """Returns whether the columns of choices have numbers from 1; those of COPA have, and its answers do not."""
    return not {"option1", "choice1"}.isdisjoint(record) and "premise" not in record


def counts_from_one(records: Sequence[Mapping[str, Any]]) -> bool | None:
    """Returns whether numbers of right choices count from 1: none is 0, and one is the last, or choices are numbered.

    Numbered choices are columns from `option1` or `choice1` on. None if there are numbers, and none of them tells.
    """
    top = untold = False
    for record in records:
        answer = answer_in(record)
        if isinstance(answer, bool) or not re.fullmatch(r"\d+(\.0)?", str(answer).strip()):
            continue
        place = int(float(str(answer)))
        if place == 0:
            return False
        try:
            labels, texts = options_of(record)
            top = top or _is_numbered(record) or place == len(texts)
            untold = untold or str(answer).strip() not in (*labels, *texts)
        except HoldfastError:
            top = top or (place == 2 and ("sol2" in record or "choice2" in record))
    return True if top else None if untold else False
