"""The 25 verifiable instructions of IFEval: whether an answer follows each, as lm-eval's ifeval verifies it.

Departures: sentences are counted by a rule (`sentences`), words in capitals by a split at blanks and punctuation, where
lm-eval uses NLTK's models; the language of an answer is told by `holdfast.probes.language`, where it uses langdetect.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from holdfast.core.errors import HoldfastError, nearest
from holdfast.probes.language import language_of

Settings = Mapping[str, Any]

RESPONSES = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_ABBREVIATED = re.compile(
    r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|Inc|Ltd|Co|vs|etc|e\.g|i\.e|Ph\.D|U\.S|a\.m|p\.m|No|Fig|approx|[A-Z])\.$"
)
_PARTED = re.compile(r"--|&|(?<=\w)(?='(?:s|m|d|ll|re|ve)\b|n't\b)", re.IGNORECASE)
"""Where NLTK parts words: "I'm" is the word "I" in capitals, and "DON'T" is two."""
_END = re.compile(r"[.!?]+[\"')\]*”’]*(?=\s|$)")


def sentences(text: str) -> int:
    """Returns the number of sentences: stretches that end with a full stop, or the like, before white space.

    Abbreviations, initials and the numbers of a list end none; what stands behind the last end counts as one.
    """
    count, start = 0, 0
    for match in _END.finditer(text):
        said = text[start : match.end()].strip()
        if match[0].startswith(".") and (_ABBREVIATED.search(said) or re.fullmatch(r"\d+\.", said.split()[-1])):
            continue
        count, start = count + bool(re.search(r"\w", said)), match.end()
    return count + bool(re.search(r"\w", text[start:]))


def _compared(count: int, relation: str, limit: int) -> bool:
    return count < limit if relation == "less than" else count >= limit


def _placeholders(answer: str, of: Settings) -> bool:
    return bool(len(re.findall(r"\[.*?\]", answer)) >= of["num_placeholders"])


def _bullets(answer: str, of: Settings) -> bool:
    stars = re.findall(r"^\s*\*[^\*].*$", answer, flags=re.MULTILINE)
    return bool(len(stars) + len(re.findall(r"^\s*-.*$", answer, flags=re.MULTILINE)) == of["num_bullets"])


def _highlights(answer: str, of: Settings) -> bool:
    once, twice = re.findall(r"\*[^\n\*]*\*", answer), re.findall(r"\*\*[^\n\*]*\*\*", answer)
    return bool(sum(bool(match.strip("*").strip()) for match in (*once, *twice)) >= of["num_highlights"])


def _sections(answer: str, of: Settings) -> bool:
    return bool(len(re.split(rf"\s?{of['section_spliter']}\s?\d+\s?", answer)) - 1 >= of["num_sections"])


def _paragraphs(answer: str, of: Settings) -> bool:
    parts = [part.strip() for part in re.split(r"\s?\*\*\*\s?", answer)]
    return all(parts[1:-1]) and sum(map(bool, parts)) == of["num_paragraphs"]


def _nth_paragraph(answer: str, of: Settings) -> bool:
    parts = answer.split("\n\n")
    count, place = sum(bool(part.strip()) for part in parts), of["nth_paragraph"]
    if place > count or not parts[place - 1].strip():
        return False
    word = parts[place - 1].split()[0].lstrip("'").lstrip('"')
    first = re.split("[.,?!'\"]", word)[0].lower()
    return bool(count == of["num_paragraphs"] and first == of["first_word"].lower())


def _postscript(answer: str, of: Settings) -> bool:
    marker = of["postscript_marker"]
    usual = {"P.P.S": r"\s*p\.\s?p\.\s?s.*$", "P.S.": r"\s*p\.\s?s\..*$"}
    pattern = usual.get(marker, rf"\s*{marker.lower()}.*$")
    return re.search(pattern, answer.lower(), flags=re.MULTILINE) is not None


def _keywords(answer: str, of: Settings) -> bool:
    return all(re.search(word, answer, flags=re.IGNORECASE) for word in of["keywords"])


def _frequency(answer: str, of: Settings) -> bool:
    return _compared(len(re.findall(of["keyword"], answer, flags=re.IGNORECASE)), of["relation"], of["frequency"])


def _forbidden(answer: str, of: Settings) -> bool:
    return not any(re.search(rf"\b{word}\b", answer, flags=re.IGNORECASE) for word in of["forbidden_words"])


def _letters(answer: str, of: Settings) -> bool:
    return _compared(answer.lower().count(of["letter"].lower()), of["let_relation"], of["let_frequency"])


def _capitals(answer: str, of: Settings) -> bool:
    words = re.findall(r"[\w.'/-]*\w", _PARTED.sub(" ", answer))
    return _compared(sum(word.isupper() for word in words), of["capital_relation"], of["capital_frequency"])


def _json(answer: str, _of: Settings) -> bool:
    said = answer.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        said = said.removeprefix(fence)
    try:
        json.loads(said.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def _title(answer: str, _of: Settings) -> bool:
    return any(match.lstrip("<").rstrip(">").strip() for match in re.findall(r"<<[^\n]+>>", answer))


def _two(answer: str, _of: Settings) -> bool:
    parts = [part.strip() for part in answer.split("******")]
    said = [part for part in parts if part]
    return all(parts[1:-1]) and len(said) == 2 and said[0] != said[1]


def _repeated(answer: str, of: Settings) -> bool:
    return answer.strip().lower().startswith(of["prompt_to_repeat"].strip().lower())


def _ends(answer: str, of: Settings) -> bool:
    return answer.strip().strip('"').lower().endswith(of["end_phrase"].strip().lower())


def _quoted(answer: str, _of: Settings) -> bool:
    said = answer.strip()
    return len(said) > 1 and said[0] == said[-1] == '"'


def _in_language(answer: str, code: str) -> bool:
    """Returns whether an answer is in a language; it is where nothing says which."""
    return language_of(answer) in (code, None)


INSTRUCTIONS: dict[str, tuple[Callable[[str, Settings], bool], tuple[str, ...]]] = {
    "keywords:existence": (_keywords, ("keywords",)),
    "keywords:frequency": (_frequency, ("keyword", "frequency", "relation")),
    "keywords:forbidden_words": (_forbidden, ("forbidden_words",)),
    "keywords:letter_frequency": (_letters, ("letter", "let_frequency", "let_relation")),
    "language:response_language": (lambda answer, of: _in_language(answer, of["language"]), ("language",)),
    "length_constraints:number_sentences": (
        lambda answer, of: _compared(sentences(answer), of["relation"], of["num_sentences"]),
        ("num_sentences", "relation"),
    ),
    "length_constraints:number_paragraphs": (_paragraphs, ("num_paragraphs",)),
    "length_constraints:number_words": (
        lambda answer, of: _compared(len(re.findall(r"\w+", answer)), of["relation"], of["num_words"]),
        ("num_words", "relation"),
    ),
    "length_constraints:nth_paragraph_first_word": (
        _nth_paragraph,
        ("num_paragraphs", "nth_paragraph", "first_word"),
    ),
    "detectable_content:number_placeholders": (_placeholders, ("num_placeholders",)),
    "detectable_content:postscript": (_postscript, ("postscript_marker",)),
    "detectable_format:number_bullet_lists": (_bullets, ("num_bullets",)),
    "detectable_format:constrained_response": (lambda answer, _of: any(one in answer for one in RESPONSES), ()),
    "detectable_format:number_highlighted_sections": (_highlights, ("num_highlights",)),
    "detectable_format:multiple_sections": (_sections, ("section_spliter", "num_sections")),
    "detectable_format:json_format": (_json, ()),
    "detectable_format:title": (_title, ()),
    "combination:two_responses": (_two, ()),
    "combination:repeat_prompt": (_repeated, ("prompt_to_repeat",)),
    "startend:end_checker": (_ends, ("end_phrase",)),
    "startend:quotation": (_quoted, ()),
    "change_case:capital_word_frequency": (_capitals, ("capital_frequency", "capital_relation")),
    "change_case:english_capital": (lambda answer, _of: answer.isupper() and _in_language(answer, "en"), ()),
    "change_case:english_lowercase": (lambda answer, _of: answer.islower() and _in_language(answer, "en"), ()),
    "punctuation:no_comma": (lambda answer, _of: "," not in answer, ()),
}
"""Of each instruction what verifies it, and the settings that it needs."""


def follows(answer: str, asked: Sequence[Settings]) -> bool:
    """Returns whether an answer follows all instructions to the letter (lm-eval's `prompt_level_strict_acc`).

    Args:
        answer: The answer; an empty one follows nothing.
        asked: The instructions, each an `id` of `INSTRUCTIONS` with its settings.
    """
    return bool(answer.strip()) and all(INSTRUCTIONS[one["id"]][0](answer, one) for one in asked)


def check_instructions(asked: Any, where: str) -> None:
    """Raises `HoldfastError`, naming `where`, if instructions are unknown or lack a setting."""
    if not (isinstance(asked, list) and asked and all(isinstance(one, Mapping) for one in asked)):
        raise HoldfastError(f"{where} is {asked!r}; use a list of instructions, each with an id and its settings.")
    for one in asked:
        known = INSTRUCTIONS.get(str(one.get("id")))
        if known is None:
            close = nearest(str(one.get("id")), INSTRUCTIONS)
            raise HoldfastError(f"{where}: there is no instruction {one.get('id')!r}.{close}")
        for name in known[1]:
            if one.get(name) is None:
                raise HoldfastError(f"{where}: the instruction {one['id']!r} needs {name!r}.")
