"""The answer within what a model says, taken out and compared as lm-eval's tasks of GSM8K and BIG-Bench Hard do it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

INVALID = "[invalid]"
"""What stands for an answer that is not there, as in lm-eval."""

_IGNORED = {
    "last_number": (",", r"\$", r"(?s).*#### ", r"\.$"),
    "": (r"\.$", ",", "\n", r"\\", '"'),
}
"""What is left out on both sides before they are compared: of GSM8K, and of every task of BIG-Bench Hard."""

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_VALUES = {word: value for value, word in enumerate(_UNITS.split())}
_VALUES |= {word: 10 * value for value, word in enumerate(_TENS.split(), 2)}
_NUMBER = re.compile(rf"\b(?:{'|'.join(_VALUES)})(?:[\s-]+(?:{'|'.join(_UNITS.split()[1:10])}))?\b")


def _first(pattern: str) -> Callable[[str, str], str]:
    """Returns what takes the first place that a pattern fits."""
    compiled = re.compile(pattern)
    return lambda answer, _question: matches[0].strip() if (matches := _all(compiled, answer)) else INVALID


def _all(pattern: re.Pattern[str], text: str) -> list[str]:
    """Returns every place that a pattern fits; of several groups the first that took part."""
    matches = pattern.findall(text)
    return [next((part for part in one if part), "") if isinstance(one, tuple) else one for one in matches]


def _last_number(answer: str, _question: str) -> str:
    matches = _all(re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)"), answer)
    return matches[-1].strip() if matches else INVALID


def _count(answer: str, _question: str) -> str:
    """Returns the first number in digits, else the first in words."""
    matches = _all(re.compile("([-0-9]+)"), answer)
    if matches:
        return matches[0].strip()
    word = _NUMBER.search(answer.lower())
    return str(sum(_VALUES[part] for part in re.split(r"[\s-]+", word[0]))) if word else INVALID


def _choice(answer: str, question: str) -> str:
    """Returns the letter of a choice as "(A)": said as such, else by its text, else behind a colon."""
    if matches := _all(re.compile(r"(\([A-Z]\))"), answer):
        return matches[0].strip()
    texts = [_bare(one.strip()) for one in re.findall(r"\([A-Z]\)([^\n^(]*)", question)]
    letters = [f"({chr(ord('A') + place)})" for place in range(len(texts))]
    by_text = dict(zip(texts, letters, strict=True))
    if texts and (said := [one.strip() for one in re.findall("|".join(map(re.escape, texts)), _bare(answer))]):
        return by_text.get(said[0], said[0]) or INVALID
    behind = re.findall(rf":[\s]*({'|'.join(letter[1] for letter in letters)})", answer) if letters else []
    return f"({behind[0]})" if behind and behind[0] else INVALID


def _bare(text: str) -> str:
    """Returns a text in lower case without punctuation."""
    return re.sub(r"[^\w\s]|_", "", text.lower())


def _mapped(values: Sequence[tuple[str, str]]) -> Callable[[str, str], str]:
    """Returns what takes the first place that any pattern fits, and gives the value of the first that fits it."""
    whole = re.compile("|".join(pattern for pattern, _ in values))

    def take(answer: str, _question: str) -> str:
        matches = _all(whole, answer.lower())
        said = matches[0].strip() if matches else ""
        return next((value for pattern, value in values if said and re.findall(pattern, said)), INVALID)

    return take


def _sorted(answer: str, question: str) -> str:
    """Returns the words of the question's list in the order of their last place in the answer."""
    words = question.split("List:")[1].strip().split() if "List:" in question else []
    said = re.findall("|".join(rf"\b{re.escape(word)}\b" for word in words), answer) if words else []
    return " ".join(reversed(dict.fromkeys(reversed(said))))


EXTRACTORS: dict[str, Callable[[str, str], str]] = {
    "last_number": _last_number,
    "boolean": _first(r"\b(True|False)\b"),
    "yes_no": _first(r"\b(Yes|No|yes|no)\b"),
    "validity": _first(r"\b(valid|invalid)\b"),
    "brackets": _first(r"(?<= )([\" \[\(<{}>\)\]]+)|([\" \[\(<{}>\)\]]+)"),
    "count": _count,
    "choice": _choice,
    "plausible": _mapped(((r"\b(no|not plausible)\b", "no"), (r"\b(yes|plausible)\b", "yes"))),
    "truth": _mapped(
        (
            (r"\b(no|does not tell the truth|is not telling the truth)\b", "no"),
            (r"\b(yes|tells the truth|is telling the truth)\b", "yes"),
        )
    ),
    "sorted": _sorted,
}
"""Ways to take an answer out of what is said, each of the answer and the question."""


def says(answer: str, by: str, right: str, question: str = "") -> bool:
    """Returns whether the answer that is taken out is the right one, but for case and what lm-eval leaves out.

    Args:
        answer: What a model said.
        by: One of `EXTRACTORS`.
        right: The right answer, as the set has it.
        question: The question, where its choices or words are needed.
    """
    ignored = _IGNORED.get(by, _IGNORED[""])
    return _plain(EXTRACTORS[by](answer, question), ignored) == _plain(right, ignored)


def _plain(text: str, ignored: Sequence[str]) -> str:
    for pattern in ignored:
        text = re.sub(pattern, "", text)
    return text.lower()
