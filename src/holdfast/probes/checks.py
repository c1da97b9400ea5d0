"""Checks of generated answers: each marker is one condition that an answer must fulfil."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from holdfast.core.errors import HoldfastError, nearest
from holdfast.probes.extracted import EXTRACTORS, says
from holdfast.probes.harness import is_right
from holdfast.probes.instructions import check_instructions, follows
from holdfast.probes.refusal import refuses
from holdfast.probes.thought import spoken

# Thai, Lao, Burmese, Khmer, Japanese, Chinese and Korean, which write words, or what belongs to them, without blanks.
_JOINED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_LETTER = rf"[^\W{_JOINED}]"
"""A letter or digit of a script with blanks, which a whole word does not touch."""
# A minus behind a digit or letter belongs to a difference or range; a comma before three digits separates thousands.
_NUMBER = re.compile(rf"(?:(?<!{_LETTER})-)?(?:\d+(?:\.\d+)?|(?<![\w.])\.\d+)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_FENCED = re.compile(r"```\w*\n(.*?)\n?```", re.DOTALL)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _plain(text: str) -> str:
    return " ".join(_folded(text).split()).removesuffix(".").rstrip()


def _has(answer: str, words: str) -> bool:
    return re.search(rf"(?<!{_LETTER}){re.escape(_folded(words))}(?!{_LETTER})", _folded(answer)) is not None


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _read(answer: str) -> Any:
    """Returns the JSON value of an answer, alone or in a code fence; None for others and if nested too deeply."""
    fenced = _FENCED.fullmatch(answer.strip())
    try:
        return json.loads(fenced[1] if fenced else answer)
    except (ValueError, RecursionError):
        return None


def _format(answer: str, wanted: str) -> bool:
    text = answer.strip()
    if wanted == "word":
        return re.fullmatch(r"[\w'-]+\.?", text) is not None
    if wanted == "sentence":
        return re.fullmatch(r"[A-Z][^\n]*\.", text) is not None and len(text.split()) >= 3
    if wanted == "list":
        lines = text.split("\n")
        return len(lines) >= 2 and all(re.fullmatch(r"[-*] \S.*", line) for line in lines)
    if wanted == "capitals":
        return any(c.isalpha() for c in text) and text == text.upper()
    return isinstance(_read(text), (dict, list))


def _keys(answer: str, wanted: Any) -> bool:
    value = _read(answer)
    return isinstance(value, dict) and set(value) == set(_listed(wanted))


def _number(answer: str, wanted: Any) -> bool:
    numbers = _NUMBER.findall(_THOUSANDS.sub("", answer.replace("−", "-")))
    return bool(numbers) and float(numbers[-1]) == float(wanted)


def _call(answer: str, wanted: Mapping[str, Any]) -> bool:
    """Returns whether the first call in an answer is the wanted one: a JSON object with a name and arguments."""
    decoder = json.JSONDecoder()
    for start in (match.start() for match in re.finditer(r"\{", answer)):
        try:
            value, _ = decoder.raw_decode(answer, start)
        except (ValueError, RecursionError):
            continue
        if "name" in value:
            given = value.get("arguments", value.get("parameters"))
            return value["name"] == wanted["name"] and _same(given, wanted["arguments"])
    return False


def _same(given: Any, wanted: Mapping[str, Any]) -> bool:
    """Returns whether arguments are the wanted ones, but for the case of strings and numbers written as strings."""

    def plain(value: Any) -> str:
        return _plain(value) if isinstance(value, str) else json.dumps(value)

    if not isinstance(given, dict) or set(given) != set(wanted):
        return False
    return all(plain(given[name]) == plain(value) for name, value in wanted.items())


MARKERS: dict[str, Callable[[str, Any], bool]] = {
    "exact": lambda answer, wanted: _plain(answer) in {_plain(words) for words in _listed(wanted)},
    "contains": lambda answer, wanted: all(_has(answer, words) for words in _listed(wanted)),
    "any": lambda answer, wanted: any(_has(answer, words) for words in _listed(wanted)),
    "lacks": lambda answer, wanted: bool(answer.strip()) and not any(_has(answer, words) for words in _listed(wanted)),
    "number": _number,
    "regex": lambda answer, wanted: re.search(wanted, answer) is not None,
    "format": _format,
    "keys": _keys,
    "call": _call,
    "least_words": lambda answer, wanted: len(answer.split()) >= wanted,
    "most_words": lambda answer, wanted: 0 < len(answer.split()) <= wanted,
    "refuses": lambda answer, wanted: bool(answer.strip()) and refuses(answer) == wanted,
    "begins": lambda answer, wanted: re.match(rf"{re.escape(wanted)}(?!\w)", answer) is not None,
    "extracted": lambda answer, wanted: says(answer, wanted["by"], wanted["right"], wanted.get("question", "")),
    "instructions": follows,
    "harness": is_right,
}
"""Markers: `exact` (but for case, blanks and a final full stop; any one of a list), `contains` (all of these, as whole
words), `any` (one of these), `lacks` (none of these), `number` (the last number of the answer), `regex` (found
anywhere), `format` (word, sentence, list, json or capitals), `keys` (a JSON object with exactly these keys), `call`
(the first call of a tool in the answer, with this `name` and these `arguments`), `least_words`, `most_words`,
`refuses` (true or false, by `holdfast.probes.refusal`; an empty answer is neither), `begins` (with this word, in this
case), `extracted` (what is taken out as `by` says is `right`, see `holdfast.probes.extracted`), `instructions` (those
of IFEval, see `holdfast.probes.instructions`) and `harness` (what a task of lm-eval scores, see
`holdfast.probes.harness`). JSON may stand in a code fence."""

FORMATS = ("word", "sentence", "list", "json", "capitals")


def fulfils(answer: str, check: Mapping[str, Any]) -> bool:
    """Returns whether what an answer says behind its thought fulfils every marker of a check; see `MARKERS`."""
    said = spoken(answer)
    return all(MARKERS[name](said, wanted) for name, wanted in check.items())


def takes_lines(check: Mapping[str, Any]) -> bool:
    """Returns whether an answer that fulfils a check has several lines, or is likely to."""
    return check.get("format") in ("list", "json") or bool(
        {"keys", "extracted", "instructions", "harness"} & set(check)
    )


def check_markers(check: Mapping[str, Any], origin: str) -> None:
    """Raises `HoldfastError`, naming `origin`, if a check names an unknown marker or a value that it cannot have."""
    for name, wanted in check.items():
        where = f"{origin}: field 'check.{name}'"
        if name not in MARKERS:
            raise HoldfastError(f"{where} is not a marker; use one of {', '.join(MARKERS)}.{nearest(name, MARKERS)}")
        if name == "regex":
            _check_regex(wanted, where)
        elif name == "instructions":
            check_instructions(wanted, where)
        elif not _can_be(name, wanted):
            raise HoldfastError(f"{where} is {wanted!r}; use {_WANTED[name]}.")


_WANTED = {
    "format": f"one of {', '.join(FORMATS)}",
    "refuses": "true or false",
    "begins": "a string",
    "call": "an object with a name and arguments",
    "harness": "'name', 'task' and 'doc' of a task of lm-eval",
    "extracted": f"'by' (one of {', '.join(EXTRACTORS)}), 'right' and, where it is needed, 'question'",
    **dict.fromkeys(("number", "least_words", "most_words"), "a number"),
    **dict.fromkeys(("exact", "contains", "any", "lacks", "keys"), "a string or a list of strings"),
}
"""The accepted values of each marker except `regex`, in words."""


def _can_be(name: str, wanted: Any) -> bool:
    """Returns whether a marker accepts a value."""
    if name in _FIELDS:
        needed, more = _FIELDS[name]
        return isinstance(wanted, Mapping) and needed <= set(wanted) <= needed | more and _are_fields(wanted)
    return _ACCEPTS.get(name, _are_words)(wanted)


def _are_words(wanted: Any) -> bool:
    """Returns whether a value is a string or a list of strings, none of them empty."""
    listed = [wanted] if isinstance(wanted, str) else wanted
    return isinstance(listed, list) and len(listed) > 0 and all(isinstance(words, str) and words for words in listed)


def _is_call(wanted: Any) -> bool:
    """Returns whether a value is the call of a tool: a name with arguments."""
    if not isinstance(wanted, Mapping) or set(wanted) != {"name", "arguments"}:
        return False
    return isinstance(wanted["name"], str) and isinstance(wanted["arguments"], Mapping)


def _is_number(wanted: Any) -> bool:
    return isinstance(wanted, (int, float)) and not isinstance(wanted, bool) and abs(wanted) < 1e300


_ACCEPTS: dict[str, Callable[[Any], bool]] = {
    "format": lambda wanted: wanted in FORMATS,
    "refuses": lambda wanted: isinstance(wanted, bool),
    "call": _is_call,
    "begins": lambda wanted: isinstance(wanted, str) and bool(wanted),
    **dict.fromkeys(("number", "least_words", "most_words"), _is_number),
}
"""Whether a marker accepts a value, for the markers that take no words."""
_FIELDS = {"extracted": ({"by", "right"}, {"question"}), "harness": ({"name", "task", "doc"}, {"folder"})}
"""Fields that the value of a marker needs, and others that it may have."""


def _are_fields(wanted: Mapping[str, Any]) -> bool:
    """Returns whether the fields of a value are strings (but the number of a document), and its way is known."""
    texts = [value for name, value in wanted.items() if name != "doc"]
    return wanted.get("by", "count") in EXTRACTORS and all(isinstance(value, str) for value in texts)


def _check_regex(wanted: Any, where: str) -> None:
    try:
        re.compile(wanted)
    except (re.error, TypeError) as error:
        raise HoldfastError(f"{where} is not a regular expression ({error}).") from error
